"""The catalogue: what each backup in a directory is, kept in a file beside its data, so that no database is needed.

```
TDS_BACKUP_DIRECTORY/
  base/20261129T120000Z/data          what pg_basebackup wrote, its backup_manifest among it
  base/20261129T120000Z/backup.json   the entry; written last, so a folder without it is no backup
  base/20261129T120000Z/secrets.json  with --with-secrets alone
  wal/7431...-1/                      the write-ahead log of one history of the server
```
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from tds_core.errors import TdsError

ENTRY_FILE, SECRETS_FILE = "backup.json", "secrets.json"
FULL, INCREMENTAL = "full", "incremental"
#: The end of the name of a folder that is being written.
PARTIAL = ".partial"


class NoBackupError(TdsError):
    """There is no backup that could be used."""

    code = "no_backup"


class BackupDamagedError(TdsError):
    """A backup, or the write-ahead log that belongs to it, is not what was written."""

    code = "backup_damaged"


class BackupEntry(msgspec.Struct, kw_only=True, frozen=True):
    """One backup. `parent`: the backup an incremental one builds on; empty for a full one.

    `ended_at`: by the server's clock; the earliest moment that can be restored from it. `wal`: the folder of its
    write-ahead log, `first_segment` the name of the segment it begins in. `key_id`: of the seal key that
    TDS_SECRET_KEY gives, which reveals nothing of the key; empty without one.
    """

    name: str
    kind: str
    parent: str
    started_at: datetime
    ended_at: datetime
    wal: str
    first_segment: str
    byte_count: int
    postgres_major: int
    database: str
    role: str
    key_id: str
    holds_secrets: bool


def base_directory(directory: Path) -> Path:
    """Where the backups of a directory are."""
    return directory / "base"


def files_of(directory: Path, name: str) -> Path:
    """Where the files of a backup are."""
    return base_directory(directory) / name / "data"


def wal_directory(directory: Path, history: str) -> Path:
    """Where the write-ahead log of one history of a server is."""
    return directory / "wal" / history


def entries(directory: Path) -> list[BackupEntry]:
    """Every whole backup of a directory, the oldest first. Raises BackupDamagedError for an entry nobody can read."""
    found = []
    for path in sorted(base_directory(directory).glob(f"*/{ENTRY_FILE}")):
        if path.parent.name.endswith(PARTIAL):
            continue
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=BackupEntry))
        except (OSError, msgspec.DecodeError) as error:
            raise BackupDamagedError(f"{path} cannot be read ({error}). Restore it, or remove its folder.") from None
    return sorted(found, key=lambda entry: entry.ended_at)


def write_entry(folder: Path, entry: BackupEntry) -> None:
    """Write the entry of a backup into its folder."""
    (folder / ENTRY_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(entry), indent=1) + b"\n")


def chain_of(all_entries: Iterable[BackupEntry], entry: BackupEntry) -> list[BackupEntry]:
    """The backups that make up `entry`, the full one first. Raises BackupDamagedError where one is missing."""
    by_name = {each.name: each for each in all_entries}
    chain = [entry]
    while chain[0].parent:
        parent = by_name.get(chain[0].parent)
        if parent is None:
            raise BackupDamagedError(
                f"Backup {chain[0].name} builds on {chain[0].parent}, which is gone. Choose an earlier one: "
                "tds backup list"
            )
        chain.insert(0, parent)
    return chain


def chosen(all_entries: Sequence[BackupEntry], *, name: str = "", to: datetime | None = None) -> BackupEntry:
    """The backup to restore from: the one called `name`, else the newest that ended before `to`, else the newest.

    Raises NoBackupError.
    """
    if not all_entries:
        raise NoBackupError("There is no backup in this directory. Take one with: tds backup")
    if name:
        found = [each for each in all_entries if each.name == name]
        if not found:
            raise NoBackupError(f"There is no backup called {name[:80]!r}; see: tds backup list")
        if to and to < found[0].ended_at:
            raise NoBackupError(f"{to:%Y-%m-%d %H:%M:%S %Z} is before backup {name} ended. Leave its name out.")
        return found[0]
    before = [each for each in all_entries if to is None or each.ended_at <= to]
    if not before:
        first = all_entries[0].ended_at
        raise NoBackupError(f"The earliest moment that can be restored is {first:%Y-%m-%d %H:%M:%S %Z}.")
    return before[-1]
