"""Canaries: test messages, one at a time on every queue, acknowledged in the database by the worker that receives them.

A queue with several unanswered canaries in a row has no consumer.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

#: How many are sent on a queue within the patience; one expires before the next, so at most one is on the queue.
AT_PATIENCE = 4

# Idempotent: a second caller within `every` seconds changes nothing.
ISSUE = text("""
insert into tds_canaries as c (queue, nonce) select * from unnest(cast(:queues as text[]), cast(:nonces as uuid[]))
on conflict (queue) do update set nonce = excluded.nonce, sent_at = clock_timestamp(),
    unanswered_count = c.unanswered_count + 1, unanswered_since = coalesce(c.unanswered_since, clock_timestamp())
where c.sent_at < clock_timestamp() - make_interval(secs => :every)
returning queue, nonce
""")

WITHDRAW = text("""
update tds_canaries set unanswered_count = greatest(unanswered_count - 1, 0),
    unanswered_since = case when unanswered_count > 1 then unanswered_since end
where queue = any(:queues) and unanswered_count > 0
""")

ACKNOWLEDGE = text("""
update tds_canaries set unanswered_count = 0, unanswered_since = null, heard_at = clock_timestamp(), heard_by = :by,
    heard_seconds = extract(epoch from clock_timestamp() - sent_at)
where queue = :queue and nonce = :nonce
""")

# Skip queues with a consumer whose slots are all busy: an unanswered canary proves nothing there.
UNANSWERED = """
select queue from tds_canaries c
where unanswered_count >= 3 and unanswered_since < clock_timestamp() - make_interval(secs => :patience)
  and sent_at > clock_timestamp() - make_interval(secs => :patience)
  and not exists (select from tds_listeners l where l.ear = c.queue)
  and not exists (select from tds_listeners l where ended_at is null and busy_count >= slot_count
                  and c.queue = any(l.queues) and not c.queue = any(l.lost_queues))
"""

REMOVE = text("delete from tds_canaries where queue = any(:queues)")


def issue(session: Session, queues: Sequence[str], *, every_seconds: float) -> Mapping[str, UUID]:
    """Record a canary for each queue whose last one is older than `every_seconds`.

    Returns the nonce by queue of those to be sent once the transaction has committed.
    """
    names = sorted(set(queues))
    params = {"queues": names, "nonces": [uuid4() for _ in names], "every": every_seconds}
    return {row.queue: row.nonce for row in session.execute(ISSUE, params)}


def withdraw(session: Session, queues: Sequence[str]) -> None:
    """Stop counting canaries whose message could not be sent."""
    session.execute(WITHDRAW, {"queues": list(queues)})


def acknowledge(session: Session, queue: str, nonce: str, *, by: str) -> None:
    """Record that worker `by` received the canary; one that was replaced meanwhile changes nothing."""
    session.execute(ACKNOWLEDGE, {"queue": queue, "nonce": nonce, "by": by})


def unanswered_queues(session: Session, *, patience_seconds: float) -> list[str]:
    """Queues shared by all workers that have had no consumer for `patience_seconds`."""
    return sorted(session.execute(text(UNANSWERED), {"patience": patience_seconds}).scalars())


def remove(session: Session, queues: Sequence[str]) -> None:
    """Delete the canaries of queues that will have no consumer again."""
    session.execute(REMOVE, {"queues": list(queues)})
