"""Fault switches: turn single protections off in a chaos run, to show that its checks notice."""

import os
from enum import StrEnum
from functools import cache
from pathlib import Path

from tds_core.errors import ConfigError

#: The variable that lists the protections to turn off, and the home directory it is valid in.
VARIABLE, HOME = "TDS_CHAOS_WITHOUT", "chaos"


class Protection(StrEnum):
    """A protection that can be turned off."""

    LEASE = "lease"  # expired leases are taken back
    FENCE = "fence"  # a worker that lost its lease writes nothing
    GUARD = "guard"  # an older state changes nothing
    SWEEP = "sweep"  # due work without a nudge is looked for
    TX = "tx"  # rows, history, event status and completion are one transaction


@cache
def is_off(protection: Protection) -> bool:
    """Whether `protection` is off in this process. Raises `ConfigError` if any is off outside a chaos run."""
    disabled = [each for each in os.environ.get(VARIABLE, "").split(",") if each]
    if disabled and Path(os.environ.get("TDS_HOME", "")).name != HOME:
        raise ConfigError(f"{VARIABLE} is set, but this is no chaos run. Unset it; nothing is done without protection.")
    return protection in disabled
