"""The rows of backups and restores: what was taken, and when a backup was last restored and found right."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

DRILL, RESTORE = "drill", "restore"

_ADD_BACKUP = text("""
insert into tds_backups (name, kind, started_at, ended_at, byte_count, error)
values (:name, :kind, :started_at, coalesce(:ended_at, clock_timestamp()), :byte_count, left(:error, 1000))
""")
_ADD_RESTORE = text("""
insert into tds_restores (kind, backup, target_at, reached_at, started_at, ended_at, error, steps)
values (:kind, :backup, :target_at, :reached_at, :started_at, clock_timestamp(), left(:error, 1000),
        cast(:steps as jsonb))
returning id
""")
_RESTORES = text("""
select id, kind, backup, target_at, reached_at, started_at, ended_at, error, steps from tds_restores
order by id desc limit :limit
""")


class RestoreRow(TypedDict):
    """A restore that ended; see `tds_models.backups.Restore`."""

    id: int
    kind: str
    backup: str
    target_at: datetime | None
    reached_at: datetime | None
    started_at: datetime
    ended_at: datetime
    error: str | None
    steps: list[dict[str, Any]]


def add_backup(
    session: Session,
    *,
    name: str,
    kind: str,
    started_at: datetime,
    ended_at: datetime | None = None,
    byte_count: int = 0,
    error: str | None = None,
) -> None:
    """Keep that a backup was taken, or why it failed."""
    session.execute(
        _ADD_BACKUP,
        {"name": name, "kind": kind, "started_at": started_at, "ended_at": ended_at, "byte_count": byte_count,
         "error": error},
    )  # fmt: skip


def add_restore(
    session: Session,
    *,
    kind: str,
    backup: str,
    started_at: datetime,
    target_at: datetime | None,
    reached_at: datetime | None,
    error: str | None,
    steps: Sequence[Mapping[str, Any]],
) -> int:
    """Keep how a restore ended; its id."""
    row = {
        "kind": kind, "backup": backup, "started_at": started_at, "target_at": target_at, "reached_at": reached_at,
        "error": error, "steps": msgspec.json.encode(steps).decode(),
    }  # fmt: skip
    return int(session.execute(_ADD_RESTORE, row).scalar_one())


def restores(session: Session, *, limit: int = 20) -> list[RestoreRow]:
    """The newest restores, the newest first."""
    return [RestoreRow(**row) for row in session.execute(_RESTORES, {"limit": limit}).mappings()]  # type: ignore[typeddict-item]
