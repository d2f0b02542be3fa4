"""Settings of backups: where they go, how often `tds up` takes one, and how long they are kept."""

import dataclasses

from tds_core.config import declaration as d
from tds_core.config import sources as env


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackupSettings:
    """A part of `tds_core.config.settings.Settings`."""

    backup_directory: str = d.backup(
        "TDS_BACKUP_DIRECTORY", "text", "", "Where backups go, best another disk; unset: `tds up` takes none."
    )
    backup_url: str = d.backup(
        "TDS_BACKUP_URL", "text", "", "The server as a role that may replicate; unset: TDS_DATABASE_URL.", d.DATABASE,
        secret=True,
    )  # fmt: skip
    backup_hours: int = d.backup("TDS_BACKUP_HOURS", "integer", 24, "How often one is taken.", env.whole(1, 168))
    backup_full_days: int = d.backup(
        "TDS_BACKUP_FULL_DAYS", "integer", 7, "How often it is a full one; those between hold what changed.",
        env.whole(1, 366),
    )  # fmt: skip
    backup_keep_days: int = d.backup(
        "TDS_BACKUP_KEEP_DAYS", "integer", 14, "How far back a moment can be restored.", env.whole(1, 3660)
    )
