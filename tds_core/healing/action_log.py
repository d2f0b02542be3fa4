"""The healing log: one row for everything a healing action repaired, failed to repair, or reported."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.observability import metrics

log = structlog.get_logger(__name__)


class Cause(StrEnum):
    """What started the cycle, or the check between two cycles."""

    BEAT = "beat"
    DISPATCHER = "dispatcher"
    OPERATOR = "operator"


class HealingOutcome(StrEnum):
    """How one action ended."""

    DONE = "done"  # repaired
    FAILED = "failed"  # not repaired; the next cycle tries again
    REPORTED = "reported"  # left to a person, because a repair would be a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """One thing repaired or reported. `lasted_seconds`: how long it had been wrong; None when that is unknown."""

    action: str
    outcome: HealingOutcome = HealingOutcome.DONE
    entity: str | None = None
    subject: str | None = None
    count: int = 1
    lasted_seconds: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoggedAction:
    """The newest row of an action about a subject; `detail` is the action's own, `ago_seconds` its age."""

    outcome: str
    detail: Mapping[str, Any]
    ago_seconds: float


RECORD = text("""
insert into tds_healing_actions (cycle_id, action, cause, entity, subject, count, outcome, lasted_seconds, detail)
values (:cycle_id, :action, :cause, :entity, :subject, :count, :outcome, :lasted_seconds, cast(:detail as jsonb))
""")
LAST = text("""
select outcome, detail, extract(epoch from clock_timestamp() - acted_at)::float8 as ago_seconds
from tds_healing_actions where action = :action and subject = :subject order by id desc limit 1
""")


def record_action(
    session: Session, results: Iterable[ActionResult], *, cause: Cause, cycle_id: int | None = None
) -> None:
    """Insert one row per result, where possible in the transaction that did the repair; count and log each."""
    for result in results:
        row = {name: getattr(result, name) for name in ActionResult.__slots__}
        row["detail"] = msgspec.json.encode(result.detail).decode()
        session.execute(RECORD, {**row, "cause": cause, "cycle_id": cycle_id})
        metrics.healing_actions.labels(result.action, result.outcome).inc(result.count)
        write = log.info if result.outcome is HealingOutcome.DONE else log.warning
        fields = {"entity": result.entity, "subject": result.subject, "count": result.count, **result.detail}
        write("healing_action", action=result.action, outcome=result.outcome, cause=cause, **fields)


def last_action(session: Session, action: str, subject: str) -> LoggedAction | None:
    """The newest row of `action` about `subject`, so that a report is not repeated; None when there is none."""
    row = session.execute(LAST, {"action": action, "subject": subject}).first()
    return LoggedAction(row.outcome, row.detail, row.ago_seconds) if row else None
