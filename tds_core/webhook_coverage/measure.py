"""Measuring: follows the history and the inbox, and counts how each change was announced.

A step takes the next entries of the history and moves its position behind them in one transaction, so each entry is
measured once, however often and by however many processes steps are taken. After downtime the steps catch up. Only
new entries, and the webhooks received since, are looked at.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.audit_trail.seal import complete_up_to, highest_id
from tds_core.webhook_coverage.matching import ARRIVE, GRACE_SECONDS, JUDGE
from tds_models.audit_trail import AuditEntry
from tds_models.entities import ENTITIES

TRAIL = AuditEntry.__tablename__
ENTRIES_AT_ONCE = 5000
#: A change is judged this long after it was found: its webhook may be on its way.
SETTLE_SECONDS = 120.0
#: A webhook may be committed so long after its time of receipt.
OVERLAP = timedelta(seconds=120)

#: How long the inbox keeps webhooks.
INBOX_KEPT = timedelta(days=7)

EVENTS = ("created", "updated", "deleted")

_POSITION = text("""
select entry_id, wait, received_until, first_webhook_at, now() as now from tds_webhook_coverage_position
where id = 1 for update skip locked
""")
# Of what was found before, webhooks may be gone from the inbox.
_FIRST_POSITION = text("""
insert into tds_webhook_coverage_position (id, entry_id)
select 1, coalesce(max(id), 0) from tds_audit_trail where recorded_at < now() - make_interval(secs => :kept)
on conflict (id) do nothing
""")
_KNOWN = text("select exists (select from tds_webhook_coverage_position)")
_FIRST_WEBHOOK = text("""
update tds_webhook_coverage_position set first_webhook_at = (
    select received_at from tds_inbox_events where source_id is not null and event <> 'edited'
    order by received_at, id limit 1)
where id = 1 returning first_webhook_at
""")
# Of a first load nothing was to be announced, and before its first webhook no source knew of TDS.
_BEGIN = text("""
insert into tds_webhook_rules as s (source, entity, event, begins_at)
select t.source, t.entity, e.event, (
    select greatest(min(ended_at), :first_webhook_at) from tds_sync_runs r
    where r.source = t.source and r.entity = t.entity and r.mode = 'full' and r.state = 'completed'
    having min(ended_at) is not null and cast(:first_webhook_at as timestamptz) is not null)
from unnest(cast(:sources as text[]), cast(:entities as text[])) as t(source, entity),
     unnest(cast(:events as text[])) as e(event)
where not exists (select from tds_webhook_rules k where k.source = t.source and k.entity = t.entity
                  and k.event = e.event and k.begins_at is not null)
order by 1, 2, 3
on conflict (source, entity, event) do update set begins_at = excluded.begins_at
""")
_MOVE = text("""
update tds_webhook_coverage_position set entry_id = :entry_id, wait = cast(:wait as jsonb),
    received_until = :received_until, measured_at = now()
where id = 1
""")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a step did: entries read, changes among them, gaps found, gaps that turned out late; `more` can be read."""

    read_count: int = 0
    change_count: int = 0
    gap_count: int = 0
    late_count: int = 0
    more: bool = False


def measured_entities() -> list[str]:
    """The entities that the source announces by webhook."""
    return [name for name, entity in ENTITIES.items() if entity.stream.rule_module]


def measure(session: Session, *, settle_seconds: float = SETTLE_SECONDS, limit: int = ENTRIES_AT_ONCE) -> Measured:
    """Measure the next `limit` entries of the history, and the webhooks received since the step before.

    Entries found less than `settle_seconds` ago wait. Does nothing while another process measures.
    """
    if not session.execute(_KNOWN).scalar():
        session.execute(_FIRST_POSITION, {"kept": INBOX_KEPT.total_seconds()})
    position = session.execute(_POSITION).mappings().first()
    if position is None:
        return Measured()
    first_webhook_at = position["first_webhook_at"] or session.execute(_FIRST_WEBHOOK).scalar_one()
    _begin(session, first_webhook_at)
    upto, wait = complete_up_to(session, TRAIL, position["wait"])
    # A database that was restored has fewer entries than it had.
    after = min(position["entry_id"], highest_id(session, TRAIL))
    params: dict[str, Any] = {"grace": GRACE_SECONDS, "settle": settle_seconds, "limit": limit}
    params |= {"after": after, "upto": max(after, upto), "first_webhook_at": first_webhook_at}
    judged = session.execute(JUDGE, params).mappings().one()
    late_count = _arrive(session, position)
    move = {"entry_id": judged["entry_id"], "wait": msgspec.json.encode(wait).decode() if wait else None}
    session.execute(_MOVE, {**move, "received_until": position["now"]})
    return Measured(
        read_count=judged["read_count"],
        change_count=judged["change_count"],
        gap_count=judged["gap_count"],
        late_count=late_count,
        more=judged["read_count"] == limit,
    )


def _begin(session: Session, first_webhook_at: datetime | None) -> None:
    """Let measuring begin for entities whose first full pass has ended, once webhooks come at all."""
    entities = measured_entities()
    sources = [ENTITIES[name].stream.source for name in entities]
    params = {"sources": sources, "entities": entities, "events": list(EVENTS)}
    session.execute(_BEGIN, {**params, "first_webhook_at": first_webhook_at})


def _arrive(session: Session, position: RowMapping) -> int:
    """Look at the webhooks that came since; with an overlap, as some were not committed when others were read."""
    since = (position["received_until"] or position["now"] - INBOX_KEPT) - OVERLAP
    return int(session.execute(ARRIVE, {"since": since, "grace": GRACE_SECONDS}).scalar_one())
