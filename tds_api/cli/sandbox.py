"""`tds sandbox`: the Zoho stand-in as a program of its own; TDS knows only its name."""

import os
import sys

import typer

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def sandbox(context: typer.Context) -> None:
    """Run the Zoho stand-in; every option is its own (try --help)."""
    command = [sys.executable, "-m", "zoho_sandbox", *context.args]
    os.execv(sys.executable, command)  # noqa: S606 (it takes our place, so signals reach it)
