"""Recovery: backups are put together beside everything else, and a server replays the log up to a moment.

The server listens on a socket that this account alone may enter, and trusts it: no password has to be known.
"""

import contextlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL

from tds_core.backups import catalog
from tds_core.backups.catalog import BackupDamagedError, BackupEntry, NoBackupError
from tds_local.backups import wal_archive
from tds_local.backups.postgres_tools import RESTORING, programs_of, run_tool
from tds_local.backups.server import NotBackedUpError, ask, connected
from tds_local.embedded.child_process import Child, spawn
from tds_local.embedded.postgres import recovery_command
from tds_local.embedded.unprivileged_account import Account, programs_for

_PORT = "5432"  # of the socket's name; nothing listens on a network
_STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_REPLAYED = re.compile(r'restored log file "[0-9A-F]{24}"')
_LAST_CHANGE = re.compile(r"last completed transaction was at log time ([^\n]+)")

# The role that made the cluster may do everything, whatever it is called and may do by now.
_REACHED = "select pg_last_xact_replay_timestamp(), rolname from pg_roles where oid = 10"

#: Told how many parts of how many are done.
OnParts = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """What is restored: backups, the full one first, and the moment; None: as far as the log goes."""

    directory: Path
    chain: Sequence[BackupEntry]
    to: datetime | None

    @property
    def newest(self) -> BackupEntry:
        """The backup that the log is replayed on."""
        return self.chain[-1]


def plan(directory: Path, *, name: str = "", to: datetime | None = None) -> RecoveryPlan:
    """What a moment is restored from. Raises NoBackupError or BackupDamagedError."""
    found = catalog.entries(directory)
    entry = catalog.chosen(found, name=name, to=to)
    if to is not None and to > datetime.now(UTC):
        raise NoBackupError("This moment has not come yet. Leave --to out for the newest there is.")
    wal_archive.check_whole(directory, entry)
    return RecoveryPlan(directory, catalog.chain_of(found, entry), to)


def assemble(restoring: RecoveryPlan, data: Path) -> None:
    """Put the backups of a plan together as the data directory of a server. Raises what `run_tool` raises."""
    program = programs_of(restoring.newest.postgres_major, RESTORING) / "pg_combinebackup"
    folders = [str(catalog.files_of(restoring.directory, entry.name)) for entry in restoring.chain]
    run_tool(program, [f"--output={data}", *folders])
    data.chmod(0o700)
    (data / "recovery.signal").touch(mode=0o600)


def settings_of_recovery(restoring: RecoveryPlan, restore_command: str) -> dict[str, str]:
    """What a server is to be told so that it replays the log up to the moment, and then is a server of its own."""
    target = {"recovery_target_time": restoring.to.isoformat(sep=" ")} if restoring.to else {}
    return {
        "restore_command": restore_command,
        "recovery_target_timeline": "current",
        "recovery_target_action": "promote",
        **target,
    }


@dataclass(frozen=True, slots=True)
class RecoveredServer:
    """A server whose recovery is over. `reached_at`: when the newest replayed change was made; None: there was none."""

    url: str
    reached_at: datetime | None
    segment_count: int


@contextlib.contextmanager
def recovered(
    restoring: RecoveryPlan, data: Path, *, account: Account | None, log: Path, on_parts: OnParts | None = None
) -> Iterator[RecoveredServer]:
    """Run a server on assembled `data` until its recovery is over, and stop it when the block ends.

    Raises NoBackupError where the log ends before the moment, and BackupDamagedError where recovery fails.
    """
    entry = restoring.newest
    programs = programs_for(programs_of(entry.postgres_major, ("postgres",)), account)
    place = Path(tempfile.mkdtemp(prefix="tds-restore-"))  # a short path: that of a socket is bounded
    try:
        count = wal_archive.copy_for_recovery(restoring.directory, entry.wal, entry.first_segment, place / "wal")
        options = _options(restoring, place)
        _give(account, place, data)
        since = log.stat().st_size if log.exists() else 0
        command = recovery_command(programs, data, options)
        process = spawn(command, log=log, cwd=Path("/"), account=account, death_signal=signal.SIGINT)
        try:
            url = _socket_url(place, entry.role, entry.database)
            _await_promotion(process, url, log, since, lambda done: on_parts and on_parts(min(done, count), count))
            with connected(url) as connection:
                reached_at, superuser = ask(connection, _REACHED)
            yield RecoveredServer(_socket_url(place, superuser, entry.database), reached_at, count)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _socket_url(place: Path, role: str, database: str) -> str:
    query = {"host": str(place), "port": _PORT}
    url = URL.create("postgresql+psycopg2", username=role, database=database, query=query)
    return url.render_as_string(hide_password=False)


def _options(restoring: RecoveryPlan, place: Path) -> dict[str, str]:
    """Settings in place of those in the files of the server that was copied, which may name what is not here."""
    (place / "postgresql.conf").touch()
    (place / "pg_ident.conf").touch()
    (place / "pg_hba.conf").write_text("local all all trust\n")
    staged = str(place / "wal").replace("%", "%%")
    return {
        **settings_of_recovery(restoring, f'cp {shlex.quote(staged)}/%f "%p"'),
        "config_file": str(place / "postgresql.conf"),
        "hba_file": str(place / "pg_hba.conf"),
        "ident_file": str(place / "pg_ident.conf"),
        "listen_addresses": "",
        "unix_socket_directories": str(place),
        "unix_socket_permissions": "0700",
        "port": _PORT,
        # No statement is allowed before the end of recovery, so sizes need not be those of the server that was copied.
        "hot_standby": "off",
        "shared_preload_libraries": "",
        "archive_mode": "off",
        "ssl": "off",
    }


def _give(account: Account | None, *places: Path) -> None:
    """Let the account of the server own what it needs."""
    if account is None:
        return
    for place in places:
        for path in (place, *place.rglob("*")):
            shutil.chown(path, account.uid, account.gid)


def _await_promotion(process: Child, url: str, log: Path, since: int, on_replayed: Callable[[int], object]) -> None:
    """Return when the server takes statements. There is no time limit: what there is to replay is replayed."""
    while True:
        if process.poll() is not None:
            process.carrier.drain()
            raise _failure(log, since)
        on_replayed(len(_REPLAYED.findall(_log_since(log, since))))
        with contextlib.suppress(NotBackedUpError), connected(url) as connection:
            ask(connection, "select 1")
            return
        time.sleep(_LOOK_SECONDS)


def _failure(log: Path, since: int) -> Exception:
    said = _log_since(log, since)
    if "recovery ended before configured recovery target was reached" in said:
        last = _LAST_CHANGE.findall(said)
        newest = f"; its last change is of {last[-1]}" if last else ""
        return NoBackupError(
            f"The archived log ends before this moment{newest}. Give an earlier one, or leave --to out for all."
        )
    reasons = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line] or said.splitlines()[-3:]
    return BackupDamagedError(f"Recovery failed (log: {log}): " + " ".join(reasons[-3:]))


def _log_since(log: Path, since: int) -> str:
    """What a log says since it had this size."""
    with log.open("rb") as file:
        file.seek(since if since <= log.stat().st_size else 0)
        return file.read().decode(errors="replace")


def _stop(process: Child) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
