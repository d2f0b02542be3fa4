"""Replay batches: many events received again on one request, throttled and cancellable, some at every step.

The selection is shown first and frozen: its count and the moment it was taken go with the request, which is refused
when it matches others by then. Events without a verdict are left out, since their records are enqueued.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, cast
from uuid import uuid4

import structlog
from sqlalchemy import ColumnElement, func, insert, literal, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.database_errors import is_out_of_time
from tds_core.errors import NotFoundError, TdsError
from tds_core.inbox import receive
from tds_core.inbox.replay import EVENTS, ParseWebhook, delivery_of
from tds_core.pagination import Page, read_page
from tds_models.db import set_statement_timeout
from tds_models.inbox import InboxEvent
from tds_models.replay import ReplayBatch, ReplayedEvent

log = structlog.get_logger(__name__)

MOST_EVENTS = 100_000
#: A selection that was taken longer ago has to be looked at again.
FRESH = timedelta(minutes=15)
SELECT_SECONDS = 8
# A late step makes up for at most so much, and few enough at once that locks are held briefly.
MOST_SECONDS, MOST_AT_ONCE = 5.0, 200


class InvalidSelectionError(TdsError):
    """The selection names no criterion, or matches more events than one batch may have."""

    code = "invalid_arguments"


class StaleSelectionError(TdsError):
    """The selection was taken too long ago, or matches another number of events by now."""

    code = "replay_selection_stale"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventSelection:
    """Events that match all given criteria; times bound `received_at`."""

    entity: str | None = None
    source_id: str | None = None
    verdict: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def criteria(self) -> dict[str, str]:
        """The given criteria by name, as they are stored with a batch. Raises InvalidSelectionError without any."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if not given:
            raise InvalidSelectionError("Say which events: an entity, a record, a verdict, a time since or until.")
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}

    def conditions(self, taken_at: datetime) -> Iterator[ColumnElement[bool]]:
        """SQL conditions: the criteria, and a verdict by `taken_at`, so that later events do not join."""
        columns = InboxEvent.__table__.c
        yield columns.verdict.is_not(None)
        yield columns.verdict_at <= taken_at
        for name in ("entity", "source_id", "verdict"):
            if (value := getattr(self, name)) is not None:
                yield columns[name] == value
        if self.since is not None:
            yield columns.received_at >= self.since
        if self.until is not None:
            yield columns.received_at < self.until


class EntityEvents(TypedDict):
    """The selected events of an entity (None: not understood). `to_read_count`: those whose record has to be read."""

    entity: str | None
    event_count: int
    record_count: int
    to_read_count: int
    oldest_at: datetime
    newest_at: datetime


class ReplayPreview(TypedDict):
    """A frozen selection: `event_count` and `taken_at` go with the request. `seconds`: until the last is replayed."""

    event_count: int
    taken_at: datetime
    by_entity: list[EntityEvents]
    per_minute: int
    seconds: float


class ReplayBatchRow(TypedDict):
    """A batch. `outcomes`: its events by what became of them, `waiting` before their turn; `state`: if it goes on."""

    id: int
    requested_by: str
    requested_at: datetime
    asked: dict[str, str]
    taken_at: datetime
    event_count: int
    per_minute: int
    cancelled_at: datetime | None
    cancelled_by: str | None
    ended_at: datetime | None
    correlation_id: str
    state: str
    outcomes: dict[str, int]
    seconds_left: float


def preview(session: Session, selection: EventSelection, *, per_minute: int) -> ReplayPreview:
    """What `selection` matches now. Writes nothing. Raises InvalidSelectionError."""
    selection.criteria()
    taken_at = session.execute(select(func.clock_timestamp())).scalar_one()
    columns = InboxEvent.__table__.c
    chosen = _chosen(selection, taken_at, columns.entity, columns.source_id, columns.received_at, columns.complete)
    found = chosen.cte("chosen")
    counted = (
        select(
            found.c.entity,
            func.count().label("event_count"),
            func.count(found.c.source_id.distinct()).label("record_count"),
            func.count().filter(~found.c.complete).label("to_read_count"),
            func.min(found.c.received_at).label("oldest_at"),
            func.max(found.c.received_at).label("newest_at"),
        )
        .group_by(found.c.entity)
        .order_by(found.c.entity)
    )
    rows = cast("list[EntityEvents]", [dict(row) for row in _execute(session, counted).mappings()])
    event_count = _limited(sum(row["event_count"] for row in rows))
    return ReplayPreview(
        event_count=event_count, taken_at=taken_at, by_entity=rows, per_minute=per_minute,
        seconds=event_count * 60 / per_minute,
    )  # fmt: skip


def request_batch(
    session: Session,
    selection: EventSelection,
    *,
    by: str,
    per_minute: int,
    event_count: int,
    taken_at: datetime,
    correlation_id: str = "",
) -> int:
    """Replay the events of a selection that was shown, at most `per_minute`. Returns the batch's id.

    Raises StaleSelectionError when it was taken over FRESH ago or matches another number now; InvalidSelectionError.
    """
    criteria = selection.criteria()
    age = session.execute(select(func.clock_timestamp() - taken_at)).scalar_one()
    if not timedelta(0) <= age <= FRESH:
        raise StaleSelectionError(f"The selection was not taken within the last {FRESH}. {_LOOK_AGAIN}")
    row = {
        "requested_by": by, "asked": criteria, "taken_at": taken_at, "event_count": event_count,
        "per_minute": per_minute, "correlation_id": correlation_id or str(uuid4()),
    }  # fmt: skip
    batch_id = int(session.execute(insert(ReplayBatch).values(row).returning(ReplayBatch.id)).scalar_one())
    chosen = _chosen(selection, taken_at, literal(batch_id), InboxEvent.__table__.c.id)
    written = _execute(session, insert(ReplayedEvent).from_select(["batch_id", "event_id"], chosen))
    found = _limited(int(getattr(written, "rowcount", 0)))
    if found != event_count:
        raise StaleSelectionError(f"{found:,} events match now, {event_count:,} were shown. {_LOOK_AGAIN}")
    log.info("replay_batch_requested", batch_id=batch_id, operator=by, event_count=found)
    return batch_id


_LOOK_AGAIN = "Look again: POST /zoho/webhooks/replay/preview, or tds replay with the same options."


def _chosen(selection: EventSelection, taken_at: datetime, *columns: Any) -> Any:
    return select(*columns).where(*selection.conditions(taken_at)).limit(MOST_EVENTS + 1)


def _execute(session: Session, statement: Any) -> Any:
    """Execute a statement over a selection within SELECT_SECONDS. Raises InvalidSelectionError."""
    set_statement_timeout(session, SELECT_SECONDS)
    try:
        return session.execute(statement)
    except SQLAlchemyError as error:
        if is_out_of_time(error):
            raise InvalidSelectionError(
                f"Finding these events takes longer than {SELECT_SECONDS} s: narrow them by since and until."
            ) from None
        raise


def _limited(count: int) -> int:
    if count > MOST_EVENTS:
        raise InvalidSelectionError(f"More than {MOST_EVENTS:,} events match: narrow them, for example by until.")
    return count


# A batch that another process is stepping is skipped.
_OPEN = text("""
select id, per_minute, extract(epoch from clock_timestamp() - stepped_at)::float8 as seconds
from tds_replay_batches where ended_at is null order by id for update skip locked
""")
_NEXT = text("""
select event_id from tds_replayed_events where batch_id = :batch and outcome is null order by event_id limit :count
""")
_END_EVENTS = text("""
update tds_replayed_events e set outcome = d.outcome, new_event_id = d.new_event_id, error = d.error, ended_at = now()
from unnest(cast(:ids as bigint[]), cast(:outcomes as text[]), cast(:new_ids as bigint[]), cast(:errors as text[]))
    as d(event_id, outcome, new_event_id, error)
where e.batch_id = :batch and e.event_id = d.event_id
""")
_STEPPED = text("update tds_replay_batches set stepped_at = clock_timestamp() where id = :id")
_ENDED = text("""
update tds_replay_batches b set ended_at = clock_timestamp() where b.ended_at is null and not exists (
    select from tds_replayed_events e where e.batch_id = b.id and e.outcome is null)
""")


def step(session: Session, *, parse: ParseWebhook) -> int:
    """Replay as many events of each open batch as its rate allows by now, the oldest first. Returns how many.

    They are received and marked in one transaction: a process killed in between has done neither.
    """
    total = 0
    for batch in session.execute(_OPEN).all():
        count = min(MOST_AT_ONCE, int(batch.per_minute * min(batch.seconds, MOST_SECONDS) / 60))
        if count == 0 and batch.seconds * batch.per_minute >= 60:  # fewer than one within MOST_SECONDS
            count = 1
        ids = list(session.execute(_NEXT, {"batch": batch.id, "count": count}).scalars()) if count else []
        if ids:
            _replay(session, batch.id, ids, parse)
            session.execute(_STEPPED, {"id": batch.id})
            total += len(ids)
    session.execute(_ENDED)
    return total


def _replay(session: Session, batch_id: int, ids: Sequence[int], parse: ParseWebhook) -> None:
    ends: dict[int, tuple[str, int | None, str | None]] = dict.fromkeys(ids, ("gone", None, None))
    deliveries = {}
    for event in session.execute(EVENTS, {"ids": list(ids)}):
        if event.verdict is None:
            ends[event.id] = ("owed", None, None)
            continue
        try:
            deliveries[event.id] = delivery_of(event, parse=parse)
        except TdsError as error:
            ends[event.id] = ("refused", None, f"{error.code}: {error}"[:500])
    receipts = receive.receive(session, list(deliveries.values()), duplicate_window_seconds=0) if deliveries else []
    ends |= {event_id: ("replayed", each.event_id, None) for event_id, each in zip(deliveries, receipts, strict=True)}
    outcomes, new_ids, errors = zip(*ends.values(), strict=True)
    params = {"ids": list(ends), "outcomes": list(outcomes), "new_ids": list(new_ids), "errors": list(errors)}
    session.execute(_END_EVENTS, {"batch": batch_id, **params})


_CANCEL = text("""
update tds_replay_batches set cancelled_at = now(), cancelled_by = :by, ended_at = now()
where id = :id and ended_at is null returning id
""")
_CANCEL_EVENTS = text("""
update tds_replayed_events set outcome = 'cancelled', ended_at = now() where batch_id = :id and outcome is null
""")


def cancel_batch(session: Session, batch_id: int, *, by: str) -> int:
    """Replay no more events of a batch; those replayed go on. Returns how many were left out. Raises NotFoundError."""
    batch(session, batch_id)
    if session.execute(_CANCEL, {"id": batch_id, "by": by}).first() is None:
        return 0
    cancelled = int(getattr(session.execute(_CANCEL_EVENTS, {"id": batch_id}), "rowcount", 0))
    log.info("replay_batch_cancelled", batch_id=batch_id, operator=by, event_count=cancelled)
    return cancelled


_OUTCOMES = text("""
select batch_id, coalesce(outcome, 'waiting') as outcome, count(*) as event_count
from tds_replayed_events where batch_id = any(:ids) group by 1, 2
""")
_SHOWN = [column for column in ReplayBatch.__table__.columns if column.key != "stepped_at"]


def batches(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page[ReplayBatchRow]:
    """Batches, the newest first, with their events by outcome."""
    page = read_page(session, select(*_SHOWN), keys=[ReplayBatch.__table__.c.id], cursor=cursor, limit=limit)
    return Page(_counted(session, page.items), page.next_cursor)


def batch(session: Session, batch_id: int) -> ReplayBatchRow:
    """One batch, with its events by outcome. Raises NotFoundError."""
    statement = select(*_SHOWN).where(ReplayBatch.__table__.c.id == batch_id)
    row = session.execute(statement).mappings().first() if batch_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no replay {batch_id}; see: tds replay --list")
    [counted] = _counted(session, [dict(row)])
    return counted


def _counted(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[ReplayBatchRow]:
    outcomes: dict[int, dict[str, int]] = {row["id"]: {} for row in rows}
    for counted in session.execute(_OUTCOMES, {"ids": list(outcomes)}):
        outcomes[counted.batch_id][counted.outcome] = counted.event_count
    shown = [
        {
            **row,
            "state": "cancelled" if row["cancelled_at"] else "completed" if row["ended_at"] else "running",
            "outcomes": outcomes[row["id"]],
            "seconds_left": outcomes[row["id"]].get("waiting", 0) * 60 / row["per_minute"],
        }
        for row in rows
    ]
    return cast("list[ReplayBatchRow]", shown)
