"""Pending events of claimed items: which webhook body may be applied as it is, and which records have to be read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidRecordError
from tds_core.quality.future_timestamps import Clock
from tds_core.queue.items import Claim, Item
from tds_core.records.transform import Candidate, Provenance, RecordView, transform
from tds_models.entities.declaration import Entity


@dataclass(frozen=True, slots=True)
class Event:
    """An event without a verdict. `record` is JSON text. `event`: the webhook's kind of event, or `edited`."""

    id: int
    source_id: str
    source_modified_at: datetime | None
    complete: bool
    record: str
    correlation_id: str
    event: str = "updated"


PENDING = text("""
select e.id, e.source_id, e.source_modified_at, e.complete, e.record::text as record, e.correlation_id, e.event
from tds_inbox_events e
join unnest(cast(:ids as text[]), cast(:generations as bigint[])) as c(source_id, generation) using (source_id)
where e.entity = :entity and e.source = :source and e.verdict is null and e.generation <= c.generation
order by e.id
""")


def pending_events(session: Session, claim: Claim) -> dict[str, list[Event]]:
    """The open events of the claimed items, by source id, in the order they were received."""
    rows = session.execute(
        PENDING,
        {
            "source": claim.source,
            "entity": claim.entity,
            "ids": [item.source_id for item in claim.items],
            "generations": [item.generation for item in claim.items],
        },
    )
    events: dict[str, list[Event]] = {}
    for row in rows:
        events.setdefault(row.source_id, []).append(Event(*row))
    return events


#: The event of a dead letter's record that an operator edited.
EDITED = "edited"
EARLIEST = datetime.min.replace(tzinfo=UTC)


def choose(events: Iterable[Event]) -> Event | None:
    """The event whose body is the newest state, or None when the bodies cannot tell.

    Sources stamp changes in whole seconds: two bodies with the same newest time leave the order open, unless the later
    one was edited by an operator.
    """
    ranked = sorted(events, key=lambda event: (event.source_modified_at or EARLIEST, event.id))
    if not ranked or not ranked[-1].complete:
        return None
    newest = ranked[-1]
    tied = len(ranked) > 1 and ranked[-2].source_modified_at == newest.source_modified_at
    if tied and newest.event != EDITED:
        return None
    return newest


def bodies(
    entity: Entity,
    items: Sequence[Item],
    events: Mapping[str, Sequence[Event]],
    *,
    clock: Clock | None = None,
) -> tuple[dict[str, Candidate], list[Item]]:
    """Candidates made from webhook bodies, by source id, and the items that have to be read from the source.

    Records with an invalid body, or with a time of change that `clock` has not reached, are read as well.
    """
    candidates: dict[str, Candidate] = {}
    to_read: list[Item] = []
    for item in items:
        event = None if item.must_read else choose(events.get(item.source_id, ()))
        candidate = _candidate(entity, event, clock) if event else None
        if candidate is None or (candidate.ahead_at and candidate.ahead_at == candidate.modified_at):
            to_read.append(item)
        else:
            candidates[item.source_id] = candidate
    return candidates, to_read


def _candidate(entity: Entity, event: Event, clock: Clock | None) -> Candidate | None:
    try:
        return transform(
            entity,
            event.record.encode(),
            view=RecordView.BODY,
            provenance=Provenance("operator" if event.event == EDITED else "webhook", event.id, event.correlation_id),
            clock=clock,
        )
    except InvalidRecordError:
        return None
