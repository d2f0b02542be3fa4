"""`tds config`: shows every setting with its value and source; prints the configuration reference."""

import json
from itertools import groupby
from typing import TypedDict

import typer
from rich.markup import escape
from rich.table import Table

from tds_api.cli.common.output import say, terminal
from tds_core.config.settings import DECLARATIONS, Settings, load_settings
from tds_core.config.sources import Declaration


def config(
    as_json: bool = typer.Option(False, "--json", help="For programs."),
    as_markdown: bool = typer.Option(False, "--markdown", help="The configuration reference, without values."),
) -> None:
    """Show every setting, its value (secrets masked) and where it came from."""
    if as_markdown:
        say(reference(), nl=False)
        return
    settings = load_settings()
    if as_json:
        say(json.dumps(values_of(settings), indent=2))
        return
    table = Table(header_style="bold", box=None)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    for variable in DECLARATIONS:
        table.add_row(variable, escape(settings.shown(variable)), settings.source_of(variable))
    terminal().print(table)


class SettingValue(TypedDict):
    """A setting's printable value, and the place it comes from."""

    value: str
    source: str


def values_of(settings: Settings) -> dict[str, SettingValue]:
    """The value of each setting, by its name."""
    return {name: {"value": settings.shown(name), "source": settings.source_of(name)} for name in DECLARATIONS}


def reference() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Made by `tds config --markdown` from the declarations in `tds_core/config/settings.py`.",
        "",
        "A value comes from the first place that has one: the environment, the file `.env` of the working directory,",
        "a stack that runs in `TDS_HOME`, then `TDS_HOME/secrets.json`. A variable with `_FILE` appended names a file",
        "that holds the value. Empty means unset. `tds config` shows the values in force, `tds doctor` tries them.",
    ]
    for group, declarations in groupby(DECLARATIONS.values(), key=lambda each: each.group):
        lines += ["", f"## {group}", "", "| variable | takes | default | meaning |", "|---|---|---|---|"]
        lines += [_row(each) for each in declarations]
    return "\n".join(lines) + "\n"


def _row(declaration: Declaration) -> str:
    default = declaration.default
    shown = ("yes" if default else "no") if isinstance(default, bool) else str(default)
    kind = f"{declaration.takes}{' (secret)' if declaration.secret else ''}"
    return f"| `{declaration.variable}` | {kind} | {f'`{shown}`' if shown else ''} | {declaration.meaning} |"
