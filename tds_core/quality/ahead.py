"""Records of a time that is yet to come: kept as findings, for such a time says nothing of when something changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.quality.findings import Found
from tds_core.sources.base import Clock
from tds_models.entity import Entity
from tds_models.quality import Severity

KIND = "future_time"


class Ahead(Protocol):
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


def keep(session: Session, entity: Entity, records: Sequence[Ahead]) -> None:
    """Tell of records that say they were changed in the future, and of when they count as changed instead."""
    findings.keep_many(
        session,
        [
            Found(
                kind=KIND, severity=Severity.WARNING, source=entity.stream.source, entity=entity.name,
                subject=each.source_id,
                detail={"says": each.ahead_at, "counts_as": each.clock.now if each.clock else None},
            )
            for each in records
        ],
    )  # fmt: skip


def resolve(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    """Close what was told of records that were read since, and are of no time to come any more."""
    findings.close_subjects(session, kinds=[KIND], source=entity.stream.source, entity=entity.name, subjects=source_ids)


_RESOLVE_REACHED = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = :kind and source = :source and entity = :entity and resolved_at is null
  and cast(detail ->> 'says' as timestamptz) <= now()
""")


def resolve_reached(session: Session, entity: Entity) -> None:
    """Close what was told of times that have come meanwhile."""
    session.execute(_RESOLVE_REACHED, {"kind": KIND, "source": entity.stream.source, "entity": entity.name})
