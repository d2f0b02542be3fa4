"""Records of a time that is yet to come: kept as findings, for such a time says nothing of when something changed.

The database's clock set back: rows were changed at moments yet to come, and nobody can tell what is newer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.quality.findings import NewFinding
from tds_models.entities.base import Entity
from tds_models.quality import Severity


@dataclass(frozen=True, slots=True)
class Clock:
    """What a source's clock showed when it answered, and by how much times may be ahead of it before they are no
    evidence of when something changed.
    """

    now: datetime
    tolerance: timedelta

    def is_behind(self, moment: datetime) -> bool:
        """Whether `moment` lies further ahead than a clock may be wrong."""
        return moment > self.now + self.tolerance


FUTURE_TIME = "future_time"


class FutureTime(Protocol):
    """A record that says it was changed at `ahead_at`, when its source's clock showed `clock`."""

    @property
    def source_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def ahead_at(self) -> datetime | None:
        """When it says it was changed."""
        ...

    @property
    def clock(self) -> Clock | None:
        """The source's clock."""
        ...


def report_future_times(session: Session, entity: Entity, records: Sequence[FutureTime]) -> None:
    """Tell of records that say they were changed in the future, and of when they count as changed instead."""
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
    """Close what was told of records that were read since, and are of no time to come any more."""
    findings.close_subjects(
        session, kinds=[FUTURE_TIME], source=entity.stream.source, entity=entity.name, subjects=source_ids
    )


_RESOLVE_REACHED = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = :kind and source = :source and entity = :entity and resolved_at is null
  and cast(detail ->> 'says' as timestamptz) <= now()
""")


def resolve_reached(session: Session, entity: Entity) -> None:
    """Close what was told of times that have come meanwhile."""
    session.execute(_RESOLVE_REACHED, {"kind": FUTURE_TIME, "source": entity.stream.source, "entity": entity.name})


CLOCK_SET_BACK = "clock_set_back"


def report_clock_set_back(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    """Keep a finding when one of these rows was changed later than it is now."""
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
    """Close the finding once no row was changed later than it is now."""
    statement = text(f"""
        update tds_findings f set resolved_at = now(), resolved_by = 'tds'
        where f.kind = :kind and f.source = :source and f.entity = :entity and f.resolved_at is null
          and not exists (select from {entity.table.fullname} m
                          where m.source = f.source and m.changed_at > clock_timestamp())""")
    session.execute(statement, {"kind": CLOCK_SET_BACK, "source": entity.stream.source, "entity": entity.name})
