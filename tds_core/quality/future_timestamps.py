"""Clock skew: findings of records with a modification time in the future, and of a database clock that was set back.

Either way times no longer show which change is newer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.quality.findings import NewFinding
from tds_models.entities.declaration import Entity
from tds_models.findings import Severity


@dataclass(frozen=True, slots=True)
class Clock:
    """A source's clock at the time of a response; times more than `tolerance` ahead of it are not trusted."""

    now: datetime
    tolerance: timedelta

    def is_behind(self, moment: datetime) -> bool:
        """Whether `moment` lies more than the tolerance ahead of the clock."""
        return moment > self.now + self.tolerance


FUTURE_TIME = "future_time"


class FutureTime(Protocol):
    """A record whose modification time `ahead_at` lies in the future of its source's `clock`."""

    @property
    def source_id(self) -> str:
        """The record's id."""
        ...

    @property
    def ahead_at(self) -> datetime | None:
        """The modification time in the record."""
        ...

    @property
    def clock(self) -> Clock | None:
        """The source's clock."""
        ...


def report_future_times(session: Session, entity: Entity, records: Sequence[FutureTime]) -> None:
    """Report records with a modification time in the future, with the time they count as changed instead."""
    findings.report_many(
        session,
        [
            NewFinding(
                kind=FUTURE_TIME, severity=Severity.WARNING, source=entity.stream.source, entity=entity.name,
                subject=each.source_id,
                detail={"says": each.ahead_at, "counts_as": each.clock.now if each.clock else None},
            )
            for each in records
        ],
    )  # fmt: skip


def resolve_future_times(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    """Resolve the findings of records that were read again with a valid time."""
    findings.close_subjects(
        session, kinds=[FUTURE_TIME], source=entity.stream.source, entity=entity.name, subjects=source_ids
    )


_RESOLVE_REACHED = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = :kind and source = :source and entity = :entity and resolved_at is null
  and cast(detail ->> 'says' as timestamptz) <= now()
""")


def resolve_reached(session: Session, entity: Entity) -> None:
    """Resolve the findings of times that have been reached."""
    session.execute(_RESOLVE_REACHED, {"kind": FUTURE_TIME, "source": entity.stream.source, "entity": entity.name})


CLOCK_SET_BACK = "clock_set_back"


def report_clock_set_back(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    """Report the database's clock if one of these rows was changed in its future."""
    statement = text(f"""
        select extract(epoch from max(changed_at) - clock_timestamp())::float8 from {entity.table.fullname}
        where source = :source and source_id = any(:ids) and changed_at > clock_timestamp()""")
    seconds = session.execute(statement, {"source": entity.stream.source, "ids": list(source_ids)}).scalar()
    if seconds is not None:
        detail = {"behind_seconds": round(seconds, 1), "record_count": len(source_ids)}
        findings.report(
            session, kind=CLOCK_SET_BACK, severity=Severity.ERROR, source=entity.stream.source, entity=entity.name,
            subject="the database's clock", detail=detail,
        )  # fmt: skip


def resolve_clock(session: Session, entity: Entity) -> None:
    """Resolve the finding once no row was changed in the future."""
    statement = text(f"""
        update tds_findings f set resolved_at = now(), resolved_by = 'tds'
        where f.kind = :kind and f.source = :source and f.entity = :entity and f.resolved_at is null
          and not exists (select from {entity.table.fullname} m
                          where m.source = f.source and m.changed_at > clock_timestamp())""")
    session.execute(statement, {"kind": CLOCK_SET_BACK, "source": entity.stream.source, "entity": entity.name})
