"""Fan-out: turns new entries of the history into pending deliveries of the subscriptions that want them.

Each subscription follows the history by its position, so transactions that change records write nothing for it. A
subscription with many due deliveries gets no more; the changes behind its position wait in the history.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail.chain import WriterWait
from tds_core.audit_trail.seal import complete_up_to, highest_id
from tds_models.audit_trail import AuditEntry

TRAIL = AuditEntry.__tablename__
ENTRIES_AT_ONCE = 2000
#: A subscription with so many due deliveries gets no more.
ENOUGH_DUE = 2000

#: Whether subscription `s` wants entry `t` of the history.
WANTED = """
(cardinality(s.entities) = 0 or t.entity = any(s.entities))
and (cardinality(s.kinds) = 0 or t.operation = any(s.kinds))
and (cardinality(s.fields) = 0 or t.operation <> 'updated' or jsonb_exists_any(t.changes, s.fields))
"""

_IS_BEHIND = text("select exists (select from tds_subscriptions where state = 'active' and position < :highest)")
_BEHIND = text("""
select s.id from tds_subscriptions s
where s.state = 'active' and s.position < :upto
  and (select count(*) from (select from tds_outbound_lanes l where l.subscription_id = s.id
                             and l.next_attempt_at <= now() limit :enough) due) < :enough
order by s.id for no key update skip locked
""")
# A pending delivery that exists is extended to the new last entry; a replay moves it back to an earlier one.
_FAN_OUT = text(f"""
with chunk as materialized (
    select t.id, t.source, t.entity, t.source_id, t.version, {WANTED} as wanted, s.replay_count, s.replayed_to
    from tds_subscriptions s
    join lateral (select * from {TRAIL} where id > s.position and id <= :upto order by id limit :limit) t on true
    where s.id = :id
), put as (
    insert into tds_outbound_lanes as l (subscription_id, source, entity, source_id, entry_id, version, last_id, replay)
    select :id, source, entity, source_id, min(id), min(version), max(id),
           case when min(id) <= max(replayed_to) then max(replay_count) else 0 end
    from chunk where wanted group by source, entity, source_id order by entity, source_id, source
    on conflict (subscription_id, entity, source_id, source) do update set
        last_id = greatest(l.last_id, excluded.last_id),
        entry_id = least(l.entry_id, excluded.entry_id), version = least(l.version, excluded.version),
        replay = case when excluded.entry_id < l.entry_id then excluded.replay else l.replay end,
        attempts = case when excluded.entry_id < l.entry_id then 0 else l.attempts end,
        next_attempt_at = case when excluded.entry_id < l.entry_id and l.lease_token is null then now()
                               else l.next_attempt_at end
)
update tds_subscriptions set position = (
    select case when count(*) < :limit then :upto else max(id) end from chunk)
where id = :id
""")
_DUE = text("""
select count(*) filter (where s.position < :highest or exists (
           select from tds_outbound_lanes l where l.subscription_id = s.id and l.next_attempt_at <= now())),
       (select count(distinct leased_by) from tds_outbound_lanes where lease_token is not null
        and next_attempt_at > now())
from tds_subscriptions s where s.state = 'active' and (s.rests_until is null or s.rests_until <= now())
""")


class Watermark:
    """How far the history is complete. A process keeps one, because each call of `advance` builds on the one before."""

    def __init__(self) -> None:
        self._upto = 0
        self._wait: WriterWait | None = None

    def advance(self, session: Session) -> int:
        """The id up to which no entry of the history can appear any more."""
        upto, self._wait = complete_up_to(session, TRAIL, self._wait)
        # A database that was restored has fewer entries than it had.
        self._upto = min(max(self._upto, upto), highest_id(session, TRAIL))
        return self._upto


def fan_out(session: Session, watermark: Watermark) -> bool:
    """Create the next pending deliveries of every active subscription. Returns whether any subscription was behind."""
    if not session.execute(_IS_BEHIND, {"highest": highest_id(session, TRAIL)}).scalar():
        return False
    upto = watermark.advance(session)
    behind = list(session.execute(_BEHIND, {"upto": upto, "enough": ENOUGH_DUE}).scalars())
    for subscription_id in behind:
        session.execute(_FAN_OUT, {"id": subscription_id, "upto": upto, "limit": ENTRIES_AT_ONCE})
    return bool(behind)


def due_subscriptions(session: Session) -> tuple[int, int]:
    """How many subscriptions have something to send, and how many workers are sending."""
    due, workers = session.execute(_DUE, {"highest": highest_id(session, TRAIL)}).one()
    return due, workers
