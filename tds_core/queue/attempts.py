"""The attempts log: one line for every attempt at a work item, with how it ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import NotRequired, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.items import Claim, Item
from tds_core.queue.retry_policy import code_of
from tds_core.sources.base import CallSummary


class AttemptLine(TypedDict):
    """A line of the attempts log. `error_class`, `error`: None after success; `exchange`: the call that read it."""

    source_id: str
    generation: int
    attempt: int
    outcome: str
    error_class: str | None
    error: str | None
    correlation_id: str
    created_at: datetime
    exchange: NotRequired[CallSummary | None]


LOG = text("""
insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error_class, error, worker,
                           correlation_id, waited_seconds, exchange)
select :source, :entity, r.source_id, r.generation, r.attempt, r.outcome, r.error_class, r.error, :worker,
       r.correlation_id, extract(epoch from clock_timestamp() - r.created_at), r.exchange
from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, generation bigint, attempt int, outcome text,
    error_class text, error text, correlation_id text, created_at timestamptz, exchange jsonb)
""")


def ended(item: Item, outcome: str) -> AttemptLine:
    """The line of an attempt that succeeded."""
    return _line(item, outcome, None, None)


def failed(item: Item, outcome: str, error: Exception) -> AttemptLine:
    """The line of an attempt that failed."""
    return _line(item, outcome, code_of(error), str(error)[:2000])


def log(session: Session, claim: Claim, lines: Sequence[AttemptLine]) -> None:
    """Write `lines`, each with a summary of the call that read its record, if there was one."""
    for line in lines if claim.exchanges else ():
        line["exchange"] = claim.exchanges.get(line["source_id"])
    if lines:
        session.execute(
            LOG,
            {
                "source": claim.source,
                "entity": claim.entity,
                "worker": claim.worker,
                "rows": msgspec.json.encode(lines).decode(),
            },
        )


def _line(item: Item, outcome: str, error_class: str | None, error: str | None) -> AttemptLine:
    return {
        "source_id": item.source_id,
        "generation": item.generation,
        "attempt": item.attempts,
        "outcome": outcome,
        "error_class": error_class,
        "error": error,
        "correlation_id": item.correlation_id,
        "created_at": item.created_at,
    }
