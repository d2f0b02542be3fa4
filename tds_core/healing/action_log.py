"""Deeds: what healing did or found, each a row; a cycle says of every action how much it put right."""

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
    """Who had it looked at."""

    BEAT = "beat"
    DISPATCHER = "dispatcher"
    OPERATOR = "operator"


class HealingOutcome(StrEnum):
    """What a deed came to."""

    DONE = "done"  # put right
    FAILED = "failed"  # tried in vain, and tried again in the next cycle
    REPORTED = "reported"  # told: putting it right is a person's, or would be a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """One thing put right or told of. `lasted_seconds`: how long it had been wrong; None where nobody knows."""

    action: str
    outcome: HealingOutcome = HealingOutcome.DONE
    entity: str | None = None
    subject: str | None = None
    count: int = 1
    lasted_seconds: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


RECORD = text("""
insert into tds_healing_actions (cycle_id, action, cause, entity, subject, count, outcome, lasted_seconds, detail)
values (:cycle_id, :action, :cause, :entity, :subject, :count, :outcome, :lasted_seconds, cast(:detail as jsonb))
""")


def record_action(
    session: Session, deeds: Iterable[ActionResult], *, cause: Cause, cycle_id: int | None = None
) -> None:
    """Write down what was done, in the transaction that did it where there is one."""
    for deed in deeds:
        row = {name: getattr(deed, name) for name in ActionResult.__slots__}
        row["detail"] = msgspec.json.encode(deed.detail).decode()
        session.execute(RECORD, {**row, "cause": cause, "cycle_id": cycle_id})
        metrics.healing_actions.labels(deed.action, deed.outcome).inc(deed.count)
        tell = log.info if deed.outcome is HealingOutcome.DONE else log.warning
        told = {"entity": deed.entity, "subject": deed.subject, "count": deed.count, **deed.detail}
        tell("healing_action", action=deed.action, outcome=deed.outcome, cause=cause, **told)


LAST = text("""
select outcome, detail, extract(epoch from clock_timestamp() - acted_at)::float8 as ago_seconds
from tds_healing_actions where action = :action and subject = :subject order by id desc limit 1
""")


def last_actions(session: Session, action: str, subject: str) -> Mapping[str, Any] | None:
    """The last deed of an action about a subject: what was told before need not be told again."""
    row = session.execute(LAST, {"action": action, "subject": subject}).mappings().first()
    return dict(row) if row else None
