"""The archive of the write-ahead log: pg_receivewal copies it as it is written, into a folder for each history.

A history is one life of a server: a restore begins another, so that two logs are never mixed in one folder.
"""

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tds_core.backups import catalog, retention
from tds_core.backups.catalog import BackupDamagedError, BackupEntry
from tds_local.backups.postgres_tools import TAKING, programs_of, run_tool
from tds_local.backups.server import SLOT, Server, connected
from tds_local.embedded.child_process import Child, spawn

_SEGMENT = re.compile(r"[0-9A-F]{24}(\.partial)?")
# The server no longer has what the archive lacks: a part of the log is lost to it.
_GAP = ("has already been removed", "invalidated", "can no longer get changes", "ahead of the WAL flush position")


def current(directory: Path, history: str) -> str:
    """The folder of a server's history; with a number behind it where the archive of the history had a gap."""
    found = [path.name for path in (directory / "wal").glob(f"{history}*") if _part(path.name, history)]
    return max(found, key=lambda name: _part(name, history), default=history)


def _part(name: str, history: str) -> int:
    """Which part of a history a folder holds, from 1; 0 for a folder of another one."""
    rest = name.removeprefix(history)
    return 1 if not rest else int(rest[1:]) if re.fullmatch(r"\+\d+", rest) else 0


def receive(directory: Path, server: Server, log: Path) -> Child:
    """Start to archive the log of a server, with the slot that keeps it until it is archived."""
    place = catalog.wal_directory(directory, current(directory, server.history))
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = programs_of(server.major, TAKING) / "pg_receivewal"
    connection = [f"--dbname={server.address}", "--no-password"]
    slot = [f"--slot={SLOT}", "--create-slot", "--if-not-exists"]
    run_tool(program, [*slot, *connection], environ=server.environ)
    # Synchronous: what the server counts as archived is on the archive's disk.
    arguments = [f"--directory={place}", f"--slot={SLOT}", "--synchronous", "--no-loop", *connection]
    environ = {"PATH": "/usr/bin:/bin", "LC_MESSAGES": "C", **server.environ}
    return spawn([str(program), *arguments], log=log, env=environ, cwd=Path("/"))


def is_gap(said: str) -> bool:
    """Whether pg_receivewal ended because the server no longer has what comes next."""
    return any(phrase in said for phrase in _GAP)


def begin_again(directory: Path, server: Server) -> None:
    """Give up the slot and the folder of this part of the history: the next part begins with what there is now."""
    name = current(directory, server.history)
    number = _part(name, server.history) + 1
    catalog.wal_directory(directory, f"{server.history}+{number}").mkdir(mode=0o700, parents=True)
    with connected(server.url.render_as_string(hide_password=False)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s and not active",
            (SLOT,),
        )


def segments(directory: Path, history: str) -> list[Path]:
    """The archived segments of a history, in order; the newest may be a partial one."""
    place = catalog.wal_directory(directory, history)
    return sorted(path for path in place.glob("*") if _SEGMENT.fullmatch(path.name)) if place.exists() else []


def newest_change_at(directory: Path, history: str) -> datetime | None:
    """When the archive of a history was last written to; None while there is nothing in it."""
    found = segments(directory, history)
    return datetime.fromtimestamp(found[-1].stat().st_mtime, UTC) if found else None


def check_whole(directory: Path, entry: BackupEntry) -> None:
    """Raise BackupDamagedError where a segment is missing between the beginning of a backup and the newest one."""
    names = [path.name[:24] for path in segments(directory, entry.wal)]
    if not names or max(names) < entry.first_segment:
        return  # nothing was archived since: it is restored as it was when it ended
    missing = retention.missing_segment(names, entry.first_segment)
    if missing:
        raise BackupDamagedError(
            f"Segment {missing} of the log is missing in {catalog.wal_directory(directory, entry.wal)}: nothing after "
            "it can be restored from this backup. Take a new one: tds backup --full"
        )


def copy_for_recovery(directory: Path, history: str, first_segment: str, target: Path) -> int:
    """Copy what recovery reads to where its account may read it. Returns how many segments that is.

    The names of every later history come along, so that a restored server does not take one again.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    count = 0
    for path in segments(directory, history):
        if path.name[:24] >= first_segment:
            shutil.copyfile(path, target / path.name[:24])
            count += 1
    for path in (directory / "wal").glob("*/*.history"):
        shutil.copyfile(path, target / path.name)
    return count


def prune(directory: Path, kept: Sequence[BackupEntry]) -> None:
    """Remove what no backup that is kept needs; the newest folder stays, since the next backup will need it."""
    needed = retention.needed_segments(kept)
    places = sorted((directory / "wal").glob("*"), key=lambda path: path.stat().st_mtime)
    for place in places:
        if place.name in needed:
            for path in segments(directory, place.name):
                if path.name[:24] < needed[place.name]:
                    path.unlink()
        elif place != places[-1]:
            shutil.rmtree(place)
