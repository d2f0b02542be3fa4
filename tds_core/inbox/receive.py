"""Receive: stores webhooks as events and enqueues their records, in one SQL statement for a whole burst."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from tds_models.entities import ENTITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A verified and parsed webhook. `record` is the JSON text inside the wrapper, as it was received."""

    source: str
    entity: str
    event: str
    source_id: str
    source_modified_at: datetime | None
    record: bytes
    complete: bool
    fingerprint: bytes
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The event a delivery is stored as, and whether that event was stored before."""

    event_id: int
    duplicate: bool


# One statement for all deliveries of a burst. `fresh` decides, under the fingerprint's unique key, which of them are
# new; only those become events and raise the generation of their record's one work item (as do bodies that cannot
# tell one change from the next). Rows are locked in one order (fingerprint, then record), so bursts cannot deadlock
# each other.
RECEIVE = """
with p as (
    select now() - make_interval(secs => $2) as old
), given as (
    select * from jsonb_to_recordset($1) as g(
        n int, source text, entity text, event text, source_id text, source_modified_at timestamptz, record jsonb,
        complete boolean, fingerprint bytea, correlation_id text, priority smallint, repeats int)
), numbered as materialized (
    select g.*, nextval('tds_event_id_seq') as event_id from given g order by fingerprint
), fresh as (
    insert into tds_inbox_fingerprints as f (fingerprint, event_id, duplicate_count)
    select fingerprint, event_id, repeats from numbered order by fingerprint
    -- An event that was given up makes no duplicate of the same content received again.
    on conflict (fingerprint) do update set (event_id, duplicate_count, seen_at) = (
        select case when is_new then excluded.event_id else f.event_id end,
            excluded.duplicate_count + case when is_new then 0 else f.duplicate_count + 1 end,
            case when is_new then now() else f.seen_at end
        from (select f.seen_at < (select old from p) or exists (
            select from tds_inbox_events e
            -- An event is received when its fingerprint is seen, so only partitions of the window are looked at.
            where e.id = f.event_id and e.received_at >= now() - make_interval(secs => $2)
              and e.verdict in ('dead_lettered', 'quarantined')) as is_new) as judged)
    returning f.fingerprint, f.event_id
), accepted as (
    select n.* from numbered n join fresh f using (fingerprint, event_id)
), work as (
    insert into tds_sync_queue as q (source, entity, source_id, priority, correlation_id, must_read)
    select n.source, n.entity, n.source_id, min(n.priority), max(n.correlation_id), bool_or(not n.complete)
    from numbered n join fresh f using (fingerprint)
    -- A body without a time reads the same after every change: its event is a duplicate, but the record is asked for.
    where f.event_id = n.event_id or n.source_modified_at is null
    group by source, entity, source_id order by source, entity, source_id
    on conflict (source, entity, source_id) do update set
        generation = nextval('tds_generation_seq'), updated_at = now(),
        must_read = q.must_read or excluded.must_read, priority = least(q.priority, excluded.priority),
        next_attempt_at = case when excluded.must_read then q.next_attempt_at else least(q.next_attempt_at, now()) end
    returning q.source, q.entity, q.source_id, q.generation
), events as (
    insert into tds_inbox_events (id, source, entity, event, source_id, source_modified_at, record, complete,
                                  generation, correlation_id)
    select a.event_id, a.source, a.entity, a.event, a.source_id, a.source_modified_at, a.record, a.complete,
           w.generation, a.correlation_id
    from accepted a join work w using (source, entity, source_id)
)
select n.n, f.event_id, f.event_id <> n.event_id as duplicate from numbered n join fresh f using (fingerprint)
"""

# Planning takes longer than executing, so every connection plans it once; the plan does not depend on the parameters.
PREPARE = f"prepare tds_receive (jsonb, float8) as {RECEIVE}"
# In the driver's parameter style: SQLAlchemy's processing would take as long again as a small burst.
EXECUTE = "execute tds_receive (%(deliveries)s, %(window)s)"


def receive(session: Session, deliveries: Sequence[Delivery], *, duplicate_window_seconds: float) -> list[Receipt]:
    """Store `deliveries` and enqueue their records; receipts stand in the same order. The caller commits, then answers.

    A delivery whose content was received within the window is a duplicate: it is counted, and its receipt names the
    first event, unless that one was dead-lettered. A duplicate without a modification time has its record read all the
    same, for it may have changed since. Raises what the database raises; nothing is stored then.
    """
    first_with: dict[bytes, int] = {}
    repeats: Counter[int] = Counter()
    for n, delivery in enumerate(deliveries):
        first = first_with.setdefault(delivery.fingerprint, n)
        if first != n:
            repeats[first] += 1
    rows = [_row(n, deliveries[n], repeats[n]) for n in first_with.values()]
    connection = session.connection()
    _prepare(connection)
    result = connection.exec_driver_sql(
        EXECUTE, {"deliveries": msgspec.json.encode(rows).decode(), "window": duplicate_window_seconds}
    )
    receipts = {n: Receipt(event_id, duplicate) for n, event_id, duplicate in result}
    return [_receipt(n, first_with[delivery.fingerprint], receipts) for n, delivery in enumerate(deliveries)]


def _prepare(connection: Connection) -> None:
    """Prepare the statement once per connection; it survives a rollback of this transaction."""
    if "tds_receive" not in connection.info:
        connection.exec_driver_sql(PREPARE)
        connection.info["tds_receive"] = True


def _receipt(n: int, first: int, receipts: dict[int, Receipt]) -> Receipt:
    return receipts[n] if n == first else Receipt(receipts[first].event_id, True)


def _row(n: int, delivery: Delivery, repeats: int) -> dict[str, object]:
    return {
        "n": n,
        "source": delivery.source,
        "entity": delivery.entity,
        "event": delivery.event,
        "source_id": delivery.source_id,
        "source_modified_at": delivery.source_modified_at,
        "record": msgspec.Raw(delivery.record),
        "complete": delivery.complete and delivery.event != "deleted",
        "fingerprint": "\\x" + delivery.fingerprint.hex(),
        "correlation_id": delivery.correlation_id,
        "priority": ENTITIES[delivery.entity].priority,
        "repeats": repeats,
    }


HELD = text("""
with wanted as (
    select * from jsonb_to_recordset(cast(:records as jsonb)) as w(n int, source text, entity text, source_id text)
), free as (
    select q.id from tds_sync_queue q
    where (source, entity, source_id) in (select source, entity, source_id from wanted) for update skip locked
)
select w.n from wanted w join tds_sync_queue q using (source, entity, source_id)
where q.id not in (select id from free)
""")


def held(session: Session, deliveries: Sequence[Delivery]) -> set[int]:
    """The positions of those `deliveries` whose work item another transaction has locked."""
    records = [
        {"n": n, "source": each.source, "entity": each.entity, "source_id": each.source_id}
        for n, each in enumerate(deliveries)
    ]
    return set(session.execute(HELD, {"records": msgspec.json.encode(records).decode()}).scalars())


QUARANTINE = text("""
insert into tds_inbox_events (source, entity, event, raw, correlation_id, verdict, verdict_at, verdict_reason)
values (:source, :entity, :event, :raw, :correlation_id, 'quarantined', now(), :reason) returning id
""")


def quarantine(
    session: Session,
    *,
    source: str,
    entity: str | None,
    event: str | None,
    raw: bytes,
    reason: str,
    correlation_id: str,
) -> int:
    """Store a verified delivery that could not be parsed, with the reason. Returns the event id."""
    return int(
        session.execute(
            QUARANTINE,
            {
                "source": source,
                "entity": entity,
                "event": event,
                "raw": raw,
                "reason": reason,
                "correlation_id": correlation_id,
            },
        ).scalar_one()
    )
