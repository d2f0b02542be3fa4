"""A base backup: the whole server copied, or what changed since the last copy, and held against its own manifest."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import make_url

from tds_core.audit_trail.seal_keys import derive
from tds_core.backups import catalog, retention
from tds_core.backups.catalog import FULL, INCREMENTAL, PARTIAL, BackupDamagedError, BackupEntry
from tds_core.config.settings import DECLARATIONS, Settings
from tds_core.errors import AlreadyRunningError, ConfigError
from tds_local.backups import server as servers
from tds_local.backups import wal_archive
from tds_local.backups.postgres_tools import RESTORING, TAKING, OnProgress, ToolFailedError, programs_of, run_tool
from tds_local.backups.server import NotBackedUpError, Server
from tds_local.embedded.home import write_private

_SPARE = 1.1  # a copy is a little larger than what the server says of itself


def backup_directory(settings: Settings) -> Path:
    """The directory of backups. Raises ConfigError without one."""
    if not settings.backup_directory:
        raise ConfigError("Say where backups go: TDS_BACKUP_DIRECTORY, best on another disk than the database's.")
    return Path(settings.backup_directory).expanduser().absolute()


def server_url(settings: Settings) -> str:
    """The address of the server to copy. Raises ConfigError without one."""
    url = settings.backup_url or settings.database_url
    if not url:
        raise ConfigError(
            f"No TDS runs in {settings.home} and TDS_DATABASE_URL is not set: start it with tds up, then take a backup."
        )
    return url


def take(
    settings: Settings, *, full: bool = False, with_secrets: bool = False, on_progress: OnProgress | None = None
) -> BackupEntry:
    """Take a backup and return its entry; an incremental one where there is a recent full one and `full` is not asked.

    Raises ConfigError, NotBackedUpError, AlreadyRunningError, ToolMissingError, ToolFailedError or BackupDamagedError.
    """
    directory = backup_directory(settings)
    with _alone(directory):
        server = servers.look(server_url(settings))
        parent = None if full else _parent(directory, server, settings.backup_full_days)
        _check_space(directory, server, parent)
        began = datetime.now(UTC)
        name = f"{began:%Y%m%dT%H%M%S%fZ}"
        folder = catalog.base_directory(directory) / f"{name}{PARTIAL}"
        folder.mkdir(mode=0o700, parents=True)
        _copy(server, directory, folder / "data", parent, on_progress)
        if with_secrets:
            write_private(folder / catalog.SECRETS_FILE, json.dumps(secrets_of(settings), indent=1) + "\n")
        entry = _entry(
                settings, server, directory, folder, began=began, parent=parent, name=name, with_secrets=with_secrets
            )  # fmt: skip
        catalog.write_entry(folder, entry)
        folder.rename(folder.with_name(name))
    return entry


def secrets_of(settings: Settings) -> dict[str, str]:
    """What opens what is encrypted, and lets TDS in at Zoho: every secret but the addresses of servers."""
    return {
        each.variable: str(settings.value_of(each))
        for each in DECLARATIONS.values()
        if each.secret and settings.value_of(each) and "://" not in str(settings.value_of(each))
    }


def key_id(settings: Settings) -> str:
    """What names TDS_SECRET_KEY without revealing anything of it; empty without a key."""
    return derive(settings.secret_key).id.hex() if settings.secret_key else ""


def verify(directory: Path, chain: Sequence[BackupEntry]) -> None:
    """Hold every file of these backups against its manifest. Raises BackupDamagedError, which names the first fault."""
    for entry in chain:
        program = programs_of(entry.postgres_major, RESTORING) / "pg_verifybackup"
        try:
            run_tool(program, ["--exit-on-error", "--quiet", str(catalog.files_of(directory, entry.name))])
        except ToolFailedError as error:
            raise BackupDamagedError(
                f"Backup {entry.name} is damaged and not used. {error} Restore an earlier one (tds backup list), "
                "and take a new one: tds backup --full"
            ) from None


def prune(settings: Settings) -> list[str]:
    """Remove chains, and the log before them, that no moment to be kept needs. Returns the names of the backups."""
    directory = backup_directory(settings)
    with _alone(directory):
        found = catalog.entries(directory)
        since = datetime.now(UTC) - timedelta(days=settings.backup_keep_days)
        gone = retention.expired(found, keep_since=since)
        for entry in reversed(gone):  # what builds on another goes before it
            shutil.rmtree(catalog.base_directory(directory) / entry.name)
        if gone:
            wal_archive.prune(directory, [entry for entry in found if entry not in gone])
    return [entry.name for entry in gone]


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """The directory for this process alone; what one that died left half done is removed."""
    try:
        catalog.base_directory(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"TDS_BACKUP_DIRECTORY: {directory} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in catalog.base_directory(directory).glob(f"*{PARTIAL}"):
            shutil.rmtree(left)
        yield
    except BlockingIOError:
        raise AlreadyRunningError(f"Another backup is being taken into {directory}; wait for it.") from None
    finally:
        os.close(descriptor)


def _parent(directory: Path, server: Server, full_days: int) -> BackupEntry | None:
    """The backup an incremental one can build on: the newest of this history whose full one is not too old."""
    found = [each for each in catalog.entries(directory) if each.wal == wal_archive.current(directory, server.history)]
    if not found or not server.takes_increments or found[-1].postgres_major != server.major:
        return None
    full = catalog.chain_of(found, found[-1])[0]
    return found[-1] if datetime.now(UTC) - full.ended_at < timedelta(days=full_days) else None


def _check_space(directory: Path, server: Server, parent: BackupEntry | None) -> None:
    free = shutil.disk_usage(directory).free
    if parent is None and free < server.byte_count * _SPARE:
        raise NotBackedUpError(
            f"A full backup takes about {server.byte_count / 1e9:.1f} GB and {directory} has {free / 1e9:.1f} GB left. "
            "Make room, or set TDS_BACKUP_DIRECTORY to a larger disk."
        )


def _copy(
    server: Server, directory: Path, data: Path, parent: BackupEntry | None, on_progress: OnProgress | None
) -> None:
    arguments = [
        f"--pgdata={data}", "--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256", "--progress",
        "--no-password", f"--dbname={server.address}",
    ]  # fmt: skip
    if parent:
        arguments.append(f"--incremental={catalog.files_of(directory, parent.name) / 'backup_manifest'}")
    program = programs_of(server.major, TAKING) / "pg_basebackup"
    run_tool(program, arguments, environ=server.environ, on_progress=on_progress)


def _entry(
    settings: Settings, server: Server, directory: Path, folder: Path, *, began: datetime,
    parent: BackupEntry | None, name: str, with_secrets: bool
) -> BackupEntry:  # fmt: skip
    manifest = json.loads((folder / "data" / "backup_manifest").read_text())
    own = make_url(settings.database_url or settings.backup_url)
    ended_at, segment = servers.end_of(server, manifest["WAL-Ranges"][0]["Start-LSN"])
    return BackupEntry(
        name=name,
        kind=INCREMENTAL if parent else FULL,
        parent=parent.name if parent else "",
        started_at=began,
        ended_at=ended_at,
        wal=wal_archive.current(directory, server.history),
        first_segment=segment,
        byte_count=sum(path.stat().st_size for path in (folder / "data").rglob("*") if path.is_file()),
        postgres_major=server.major,
        database=own.database or "",
        role=own.username or "",
        key_id=key_id(settings),
        holds_secrets=with_secrets,
    )
