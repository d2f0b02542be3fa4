"""Event replay: receives the record of one event again as a new event. The mirror still never goes backwards."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError, TdsError
from tds_core.inbox import receive
from tds_core.inbox.receive import Delivery


class EventPendingError(TdsError):
    """The event has no verdict yet: its record is still enqueued."""

    code = "still_owed"


#: Parses a quarantined body: entity and event as the sender named them, the body, the correlation id.
ParseWebhook = Callable[[str | None, str | None, bytes, str], Delivery]

_COLUMNS = """
id, source, entity, event, source_id, source_modified_at, record::text as record, raw, complete, verdict,
correlation_id"""
EVENT = text(f"select {_COLUMNS} from tds_inbox_events where id = :id")
#: Several events at once, by `ids`.
EVENTS = text(f"select {_COLUMNS} from tds_inbox_events where id = any(:ids) order by id")


def replay(session: Session, event_id: int, *, parse: ParseWebhook) -> tuple[int, str]:
    """Receive event `event_id` again, under its own correlation id. Returns the new event's id and its entity.

    The event keeps its verdict; the new one gets its own. A quarantined body is parsed again, for the parser may have
    changed since. Raises NotFoundError, EventPendingError or what `parse` raises.
    """
    event = session.execute(EVENT, {"id": event_id}).one_or_none()
    if event is None:
        raise NotFoundError(f"There is no event {event_id}; events are kept for a limited time.")
    if event.verdict is None:
        raise EventPendingError(f"Event {event_id} has no verdict yet: {event.entity} {event.source_id} is enqueued.")
    repeated = delivery_of(event, parse=parse)
    [receipt] = receive.receive(session, [repeated], duplicate_window_seconds=0)
    return receipt.event_id, repeated.entity


def delivery_of(event: Any, *, parse: ParseWebhook) -> Delivery:
    """The delivery of a stored event, which is no duplicate of it. Raises what `parse` raises of a quarantined body."""
    if event.raw is not None:
        delivery = parse(event.entity, event.event, bytes(event.raw), event.correlation_id)
    else:
        delivery = Delivery(
            source=event.source,
            entity=event.entity,
            event=event.event,
            source_id=event.source_id,
            source_modified_at=event.source_modified_at,
            record=event.record.encode(),
            complete=event.complete,
            fingerprint=b"",
            correlation_id=event.correlation_id,
        )
    return replace(delivery, fingerprint=secrets.token_bytes(16))
