"""Switches that take one protection away, so that `tds chaos` can show what the others cannot make up for."""

import os
from enum import StrEnum
from functools import cache
from pathlib import Path

from tds_core.errors import ConfigError

#: Where `tds chaos` says which; nowhere else is it heard.
VARIABLE, HOME = "TDS_CHAOS_WITHOUT", "chaos"


class Protection(StrEnum):
    """What can be taken away."""

    LEASE = "lease"  # leases of silent workers are taken back
    FENCE = "fence"  # who lost its lease writes nothing
    GUARD = "guard"  # an older state changes nothing
    SWEEP = "sweep"  # due work nobody was told of is looked for
    TX = "tx"  # rows, history, verdicts and the end of the work are one transaction


@cache
def is_off(protection: Protection) -> bool:
    """Whether `protection` is taken away in this process. Raises ConfigError outside a chaos run."""
    taken = [each for each in os.environ.get(VARIABLE, "").split(",") if each]
    if taken and Path(os.environ.get("TDS_HOME", "")).name != HOME:
        raise ConfigError(f"{VARIABLE} is set, but this is no chaos run. Unset it; nothing is done without protection.")
    return protection in taken
