"""Event status: records once for every event how it ended (its verdict)."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.items import Claim, Item
from tds_core.records.compare import RowOutcome
from tds_models.inbox import Verdict

VERDICTS = {
    RowOutcome.CREATED: Verdict.APPLIED,
    RowOutcome.UPDATED: Verdict.APPLIED,
    RowOutcome.RESTORED: Verdict.APPLIED,
    RowOutcome.UNCHANGED: Verdict.UNCHANGED,
    RowOutcome.STALE: Verdict.STALE,
    RowOutcome.DELETED: Verdict.DELETED,
}

# The event that was applied (or, when the record was read, the newest one) carries the outcome; the others were
# overtaken by it.
END_EVENTS = text("""
with given as (
    select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        source_id text, generation bigint, verdict text, chosen bigint, reason text)
), open as (
    select e.id, g.verdict, g.reason, coalesce(g.chosen, max(e.id) over (partition by e.source_id)) as chosen
    from tds_inbox_events e join given g using (source_id)
    where e.source = :source and e.entity = :entity and e.verdict is null and e.generation <= g.generation
)
update tds_inbox_events e
set verdict = case when o.id = o.chosen then o.verdict else 'superseded' end, verdict_at = clock_timestamp(),
    verdict_reason = case when o.id = o.chosen then o.reason end
from open o where e.id = o.id
returning extract(epoch from clock_timestamp() - e.received_at)::float8
""")


@dataclass(frozen=True, slots=True)
class EventEnd:
    """How an item ended: the event that was applied, if any, and the reason shown beside its verdict."""

    item: Item
    outcome: RowOutcome
    event_id: int | None
    reason: str | None = None


def end_events(session: Session, claim: Claim, ended: Sequence[EventEnd]) -> list[float]:
    """Give the open events of finished items their verdicts. Returns each event's age in seconds."""
    rows = [
        {
            "source_id": each.item.source_id,
            "generation": each.item.generation,
            "verdict": VERDICTS[each.outcome],
            "chosen": each.event_id,
            "reason": each.reason,
        }
        for each in ended
    ]
    params = {"source": claim.source, "entity": claim.entity, "rows": msgspec.json.encode(rows).decode()}
    return list(session.execute(END_EVENTS, params).scalars())
