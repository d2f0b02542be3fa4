"""PostgreSQL's own programs for backups: found for the version of a server, and run with their progress."""

import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tds_core.errors import TdsError
from tds_local.embedded.binaries import postgres_directories, program_major

#: What copies a server and its log; what puts the copies together, and holds them against their manifests.
TAKING, RESTORING = ("pg_basebackup", "pg_receivewal"), ("pg_combinebackup", "pg_verifybackup", "pg_waldump")
#: So many last lines of a program that failed are shown.
_LINES = 6
_SHARE = re.compile(r"(\d+)/(\d+) kB \(\d+%\)")

#: Told how many bytes of how many are done.
OnProgress = Callable[[int, int], None]


class ToolMissingError(TdsError):
    """A program of PostgreSQL that is needed is not on this machine."""

    code = "postgres_program_missing"


class ToolFailedError(TdsError):
    """A program of PostgreSQL failed; the message is its own."""

    code = "postgres_program_failed"


def programs_of(major: int, needed: Sequence[str]) -> Path:
    """The directory that holds `needed` of PostgreSQL `major`. Raises ToolMissingError that says what to install."""
    for directory in postgres_directories():
        if all((directory / name).exists() for name in needed) and program_major(directory / needed[0]) == major:
            return directory
    package = f"postgresql-{major}" if {"postgres", "pg_combinebackup"} & set(needed) else f"postgresql-client-{major}"
    raise ToolMissingError(
        f"{', '.join(needed)} of PostgreSQL {major} are not on this machine. Install the package {package} "
        "(apt.postgresql.org has every version), or use a machine that has it."
    )


def run_tool(
    program: Path,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Run a program to its end. Raises ToolFailedError with the last lines it wrote."""
    last: deque[str] = deque(maxlen=_LINES)
    with subprocess.Popen(  # noqa: S603
        [str(program), *arguments], env={**os.environ, **(environ or {}), "LC_MESSAGES": "C"}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors="replace",
    ) as process:  # fmt: skip
        assert process.stderr is not None  # noqa: S101
        for line in process.stderr:
            share = _SHARE.search(line)
            if share and on_progress:
                on_progress(int(share[1]) * 1024, int(share[2]) * 1024)
            elif line.strip() and not share:
                last.append(line.strip())
    if process.returncode:
        raise ToolFailedError(f"{program.name} failed: {' '.join(last) or process.returncode}")
