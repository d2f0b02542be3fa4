"""What healing only tells a person: work that is processed for very long, and a queue that has become deep."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing.care import Care
from tds_core.healing.deeds import Deed, Outcome, last
from tds_core.sync.queue import BULK_PRIORITY

STUCK, DEPTH = "stuck", "depth"
STUCK_SECONDS = 3600.0

# A living lease is never taken for its age: whoever holds it may be right to. A claim and an event move updated_at.
STUCK_ITEMS = text("""
select leased_by as subject, min(entity) as entity, count(*) as count,
    extract(epoch from clock_timestamp() - min(updated_at))::float8 as lasted_seconds, false as moves,
    jsonb_build_object('oldest', min(entity || ' ' || source_id)) as detail
from tds_sync_queue where lease_token is not null and updated_at < now() - make_interval(secs => :stuck)
group by leased_by
""")
# A run that waits for its time, for the quota say, is not being processed.
STUCK_RUNS = text("""
select 'run ' || r.id as subject, r.entity, 1 as count,
    extract(epoch from clock_timestamp() - r.started_at)::float8 as lasted_seconds,
    coalesce(p.read_at, r.started_at) > now() - make_interval(secs => :stuck) as moves,
    jsonb_build_object('mode', r.mode, 'page_count', r.page_count, 'last_page_at', p.read_at) as detail
from tds_sync_runs r
left join lateral (select max(read_at) as read_at from tds_sync_run_pages where run_id = r.id) p on true
where r.state = 'running' and r.mode <> 'targeted' and r.started_at < now() - make_interval(secs => :stuck)
  and (r.lease_token is not null or r.next_attempt_at <= now())
""")
QUEUE_DEPTH = text("select count(*) from tds_sync_queue where priority < :bulk")


def report_stuck(care: Care) -> list[Deed]:
    """Tell of what is processed for over an hour: of what moves once, of what stands still every hour."""
    with care.scope() as session:
        found = [
            dict(row)
            for statement in (STUCK_ITEMS, STUCK_RUNS)
            for row in session.execute(statement, {"stuck": STUCK_SECONDS}).mappings()
        ]
        return [_stuck_deed(row) for row in found if not _was_told(session, row)]


def _was_told(session: Session, row: Mapping[str, Any]) -> bool:
    before = last(session, STUCK, row["subject"])
    return before is not None and (row["moves"] or before["ago_seconds"] < STUCK_SECONDS)


def _stuck_deed(row: Mapping[str, Any]) -> Deed:
    kept = {name: row[name] for name in ("entity", "subject", "count", "lasted_seconds")}
    return Deed(action=STUCK, outcome=Outcome.REPORTED, detail={**row["detail"], "moves": row["moves"]}, **kept)


def report_depth(care: Care) -> list[Deed]:
    """Tell when the queue becomes deep, deeper, or well again; of a queue that stays as it is, nothing."""
    with care.scope() as session:
        depth = session.execute(QUEUE_DEPTH, {"bulk": BULK_PRIORITY}).scalar_one()
        before = last(session, DEPTH, "queue")
    level = depth_level(depth, care.settings.depth_warning, care.settings.depth_critical)
    told = before["detail"]["level"] if before else "ok"
    if level == told:
        return []
    detail = {"depth": depth, "level": level, "before": told}
    is_well = level == "ok"
    return [
        Deed(
            action=DEPTH,
            subject="queue",
            outcome=Outcome.DONE if is_well else Outcome.REPORTED,
            lasted_seconds=before["ago_seconds"] if before and is_well else None,
            detail=detail,
        )
    ]


def depth_level(depth: int, warning: int, critical: int) -> str:
    """How grave a queue of so many items is: ok, warning or critical."""
    return "critical" if depth > critical else "warning" if depth > warning else "ok"
