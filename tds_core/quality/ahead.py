"""Records of a time that is yet to come: kept as findings, for such a time says nothing of when something changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from tds_core.quality import findings
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
    for each in records:
        detail = {"says": each.ahead_at, "counts_as": each.clock.now if each.clock else None}
        findings.keep(
            session, kind=KIND, severity=Severity.WARNING, source=entity.stream.source, entity=entity.name,
            subject=each.source_id, detail=detail,
        )  # fmt: skip
