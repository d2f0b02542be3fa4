"""Verification of the invariants: runs every check over one snapshot of the database."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.invariants import history_checks
from tds_core.invariants.checks import CHECKS, Check, Promise
from tds_models.db import set_statement_timeout
from tds_models.entities import ENTITIES

EXAMPLES = 20
# The time limit of one check.
SECONDS = 3600


@dataclass(frozen=True, slots=True)
class InvariantViolation:
    """One violation: which record, what is wrong, and where to look."""

    entity: str | None
    source_id: str | None
    found: str
    look: str


@dataclass(frozen=True, slots=True)
class InvariantResult:
    """The result of one check: how many rows were checked, how many violate it, and the first of those."""

    name: str
    promise: Promise
    says: str
    looked_at_count: int
    violation_count: int
    examples: list[InvariantViolation] = field(default_factory=list)


def all_checks() -> Iterator[Check]:
    """Every check: the general ones, then those of each entity."""
    yield from CHECKS
    for entity in ENTITIES.values():
        yield from history_checks.checks_of(entity)


# One snapshot for all checks, so that work under way is no violation; nothing is written.
BEGIN = text("set transaction isolation level repeatable read read only")


def verify(session: Session, *, examples: int = EXAMPLES) -> list[InvariantResult]:
    """Run every check; `session` must not have been used yet. At most `examples` violations of each are returned."""
    session.execute(BEGIN)
    set_statement_timeout(session, SECONDS)
    return [_run(session, check, examples) for check in all_checks()]


def _run(session: Session, check: Check, examples: int) -> InvariantResult:
    statement = text(
        f"select entity, source_id, found, count(*) over () as total from ({check.broken}) as broken"
        " order by entity, source_id limit :examples"
    )
    rows = session.execute(statement, {"examples": examples}).all()
    violations = [
        InvariantViolation(r.entity, r.source_id, r.found, check.look.format(entity=r.entity, source_id=r.source_id))
        for r in rows
    ]
    return InvariantResult(
        name=check.name,
        promise=check.promise,
        says=check.says,
        looked_at_count=session.execute(text(check.counted)).scalar_one(),
        violation_count=rows[0].total if rows else 0,
        examples=violations,
    )


def broken(results: list[InvariantResult], promise: Promise) -> int:
    """How many violations of `promise` there are."""
    return sum(result.violation_count for result in results if result.promise is promise)
