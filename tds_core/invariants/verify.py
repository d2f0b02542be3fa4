"""The history checker: proves from inbox, attempts, history and queue alone that every promise was kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.invariants import checks, rebuild
from tds_core.invariants.checks import Check, Promise
from tds_models.db import allow
from tds_models.entities import ENTITIES

EXAMPLES = 20
# For one check, at most.
SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Violation:
    """A case in which a promise was broken: which record, what was found, and where to look."""

    entity: str | None
    source_id: str | None
    found: str
    look: str


@dataclass(frozen=True, slots=True)
class BrokenInvariant:
    """What came of one check: how much was looked at, how many cases broke the promise, and the first of them."""

    name: str
    promise: Promise
    says: str
    looked_at_count: int
    violation_count: int
    examples: list[Violation] = field(default_factory=list)


def all_checks() -> Iterator[Check]:
    """Every check there is."""
    yield from (*checks.EVENT_CHECKS, *checks.WORK_CHECKS, *checks.HISTORY_CHECKS, *checks.CHECKS)
    for entity in ENTITIES.values():
        yield from rebuild.checks_of(entity)


# Everything is looked at as it stood at one moment, so that work under way is no violation; and nothing is written.
BEGIN = text("set transaction isolation level repeatable read read only")


def verify(session: Session, *, examples: int = EXAMPLES) -> list[BrokenInvariant]:
    """Look at the whole history; `session` must not have been used yet. At most so many `examples` of each check."""
    session.execute(BEGIN)
    allow(session, SECONDS)
    return [_look(session, check, examples) for check in all_checks()]


def _look(session: Session, check: Check, examples: int) -> BrokenInvariant:
    asked = text(
        f"select entity, source_id, found, count(*) over () as total from ({check.broken}) as broken"
        " order by entity, source_id limit :examples"
    )
    rows = session.execute(asked, {"examples": examples}).all()
    return BrokenInvariant(
        name=check.name,
        promise=check.promise,
        says=check.says,
        looked_at_count=session.execute(text(check.counted)).scalar_one(),
        violation_count=rows[0].total if rows else 0,
        examples=[
            Violation(r.entity, r.source_id, r.found, check.look.format(entity=r.entity, source_id=r.source_id))
            for r in rows
        ],
    )


def broken(findings: list[BrokenInvariant], promise: Promise) -> int:
    """How often `promise` was broken."""
    return sum(finding.violation_count for finding in findings if finding.promise is promise)
