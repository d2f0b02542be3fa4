"""Canaries: one message at a time on every queue, answered in the database by whoever consumes it."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

#: So many are put on a queue while patience lasts; one expires before the next, so at most one lives.
AT_PATIENCE = 4

# Whoever comes second finds it given already, so any number may try.
GIVE = text("""
insert into tds_canaries as c (queue, nonce) select * from unnest(cast(:queues as text[]), cast(:nonces as uuid[]))
on conflict (queue) do update set nonce = excluded.nonce, sent_at = clock_timestamp(),
    unanswered_count = c.unanswered_count + 1, unanswered_since = coalesce(c.unanswered_since, clock_timestamp())
where c.sent_at < clock_timestamp() - make_interval(secs => :every)
returning queue, nonce
""")

TAKE_BACK = text("""
update tds_canaries set unanswered_count = greatest(unanswered_count - 1, 0),
    unanswered_since = case when unanswered_count > 1 then unanswered_since end
where queue = any(:queues) and unanswered_count > 0
""")

HEAR = text("""
update tds_canaries set unanswered_count = 0, unanswered_since = null, heard_at = clock_timestamp(), heard_by = :by,
    heard_seconds = extract(epoch from clock_timestamp() - sent_at)
where queue = :queue and nonce = :nonce
""")

# Where every hand that listens is full nobody can tell.
UNHEARD = """
select queue from tds_canaries c
where unanswered_count >= 3 and unanswered_since < clock_timestamp() - make_interval(secs => :patience)
  and sent_at > clock_timestamp() - make_interval(secs => :patience)
  and not exists (select from tds_listeners l where l.ear = c.queue)
  and not exists (select from tds_listeners l where ended_at is null and busy_count >= slot_count
                  and c.queue = any(l.queues) and not c.queue = any(l.lost_queues))
"""

REMOVE = text("delete from tds_canaries where queue = any(:queues)")


def give(session: Session, queues: Sequence[str], *, every_seconds: float) -> Mapping[str, UUID]:
    """Write down canaries for those of `queues` whose last is so old. Returns what is to be sent once this commits."""
    wanted = sorted(set(queues))
    params = {"queues": wanted, "nonces": [uuid4() for _ in wanted], "every": every_seconds}
    return {row.queue: row.nonce for row in session.execute(GIVE, params)}


def take_back(session: Session, queues: Sequence[str]) -> None:
    """Unsay canaries that could not be sent: nobody is to blame for not hearing them."""
    session.execute(TAKE_BACK, {"queues": list(queues)})


def hear(session: Session, queue: str, nonce: str, *, by: str) -> None:
    """Say that the canary came out of its queue."""
    session.execute(HEAR, {"queue": queue, "nonce": nonce, "by": by})


def unheard(session: Session, *, patience_seconds: float) -> list[str]:
    """Queues all workers share and nobody has consumed for so long."""
    return sorted(session.execute(text(UNHEARD), {"patience": patience_seconds}).scalars())


def remove(session: Session, queues: Sequence[str]) -> None:
    """Forget queues nobody will listen to again."""
    session.execute(REMOVE, {"queues": list(queues)})
