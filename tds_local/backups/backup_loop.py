"""The backup loop: archives the write-ahead log all the time, and takes a backup when one is due.

A process of its own: beside `tds up` wherever TDS_BACKUP_DIRECTORY is set, elsewhere `tds backup run`.
"""

import contextlib
import signal
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tds_core.backups import catalog, store
from tds_core.backups.catalog import BackupEntry
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import TdsError
from tds_core.observability.logging import configure_logging, get_logger
from tds_local.backups import base_backup, wal_archive
from tds_local.backups import server as servers
from tds_local.backups.server import Server
from tds_local.embedded.child_process import Child
from tds_local.embedded.readiness import tail
from tds_models.db import make_engine, session_scope

log = get_logger(__name__)

_LOOK_SECONDS, _PAUSE_SECONDS = 1.0, 5.0
_RETRY_AFTER = timedelta(minutes=10)
_STOP_SECONDS = 10.0


def taken(settings: Settings, **options: object) -> BackupEntry:
    """Take a backup and remove those that are too old; a row says how it ended. Raises as `base_backup.take`."""
    began = datetime.now(UTC)
    try:
        entry = base_backup.take(settings, **options)  # type: ignore[arg-type]
    except TdsError as error:
        keep_row(settings, name="", kind="", started_at=began, error=str(error))
        raise
    keep_row(
        settings, name=entry.name, kind=entry.kind, started_at=entry.started_at, ended_at=entry.ended_at,
        byte_count=entry.byte_count,
    )  # fmt: skip
    gone = base_backup.prune(settings)
    log.info("backup_taken", name=entry.name, kind=entry.kind, byte_count=entry.byte_count, removed_count=len(gone))
    return entry


def keep_row(settings: Settings, **row: object) -> None:
    """Keep a backup's row where the database takes it: a backup is no worse without one."""
    engine = make_engine(settings.database_url or settings.backup_url, pool_size=1, application="tds-backup")
    try:
        with session_scope(engine) as session:
            store.add_backup(session, **row)  # type: ignore[arg-type]
    except SQLAlchemyError as error:
        log.warning("backup_row_not_kept", error=type(error).__name__)
    finally:
        engine.dispose()


def loop(settings: Settings, ending: threading.Event) -> None:
    """Archive and back up until `ending` is set. A failure is logged and tried again."""
    directory = base_backup.backup_directory(settings)
    while not ending.is_set():
        try:
            server = servers.look(base_backup.server_url(settings))
            _keep_archiving(settings, directory, server, ending)
        except TdsError as error:
            log.warning("backup_interrupted", error=str(error))
        ending.wait(_PAUSE_SECONDS)


def _keep_archiving(settings: Settings, directory: Path, server: Server, ending: threading.Event) -> None:
    """Archive the log of a server until it ends or its archive breaks, and take backups meanwhile."""
    said = settings.home / "logs" / "pg_receivewal.log"
    since = said.stat().st_size if said.exists() else 0
    receiver = wal_archive.receive(directory, server, said)
    log.info("archiving_began", history=wal_archive.current(directory, server.history))
    retry_at = datetime.min.replace(tzinfo=UTC)
    try:
        while receiver.poll() is None and not ending.is_set():
            now = datetime.now(UTC)
            if now >= retry_at and is_due(settings, directory, server, now):
                retry_at = now + _RETRY_AFTER
                with contextlib.suppress(TdsError):  # its row says why, and the alert about its age
                    taken(settings)
            ending.wait(_LOOK_SECONDS)
    finally:
        _stop(receiver)
    receiver.carrier.drain()
    if not ending.is_set() and wal_archive.is_gap(tail(said, since)):
        log.error("archive_has_gap", history=server.history)
        wal_archive.begin_again(directory, server)


def is_due(settings: Settings, directory: Path, server: Server, now: datetime) -> bool:
    """Whether a backup is due: the last one of this history is as old as the setting allows."""
    history = wal_archive.current(directory, server.history)
    own = [entry for entry in catalog.entries(directory) if entry.wal == history]
    return not own or now - own[-1].started_at >= timedelta(hours=settings.backup_hours)


def _stop(receiver: Child) -> None:
    if receiver.poll() is None:
        receiver.terminate()
        try:
            receiver.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            receiver.kill()
            receiver.wait()


def main() -> None:
    """Run the loop until a signal."""
    settings = load_settings()
    configure_logging(settings, process="backup")
    base_backup.backup_directory(settings)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    loop(settings, ending)


if __name__ == "__main__":
    main()
