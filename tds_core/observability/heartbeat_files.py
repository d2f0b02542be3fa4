"""Heartbeat files: a process touches its own at each round of its main loop, for checks without PostgreSQL."""

import os
from contextlib import suppress
from pathlib import Path

#: Below TDS_HOME.
DIRECTORY = "heartbeats"
#: No main loop takes longer for one round, outages of Redis and PostgreSQL included.
LONGEST_ROUND_SECONDS = 60


def touch_heartbeat(home: Path, name: str) -> None:
    """Give the file of process `name` the present time; under `tds up` its supervisor's name for it, such as worker-1.

    A home that is not there, or cannot be written to, stops no process: the check then finds it silent.
    """
    path = home / DIRECTORY / (os.environ.get("TDS_PROCESS") or name)
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        path.touch()
