"""What healing only tells a person: work that is processed for very long, and a queue that has become deep.

Healing of breakers: one that is due to be probed and that no work would probe is asked about by us.

Healing of work: what silent workers hold, letters whose time has come, and due work nobody was told of.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.breakers.breaker import BreakerState
from tds_core.breakers.circuit import State
from tds_core.breakers.registry import BreakersAwayError
from tds_core.dead_letters.retry import retry_due
from tds_core.errors import SNOOZE, SourceError
from tds_core.healing.action_log import ActionResult, HealingOutcome, last_actions
from tds_core.healing.context import HealingContext
from tds_core.processing.lease_recovery import RecoveredLeases, expire, lease_holders, recover_expired_leases
from tds_core.queue import breaker_wakeup
from tds_core.queue.claim import due_work
from tds_core.queue.items import BULK_PRIORITY
from tds_core.sources.base import Traffic
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity

BREAKERS = "breakers"

WAITS = text("""
select exists (select from tds_sync_queue where waits_for = :name and lease_token is null)
    or exists (select from tds_sync_runs where waits_for = :name and lease_token is null)
""")


def retest(care: HealingContext) -> list[ActionResult]:
    """Probe every open breaker whose time has come: by work that waits for it, else by the first page of a list."""
    try:
        states = care.breakers.states(of_all=True)
    except BreakersAwayError:
        return []  # without Redis every process asks for itself
    now = datetime.now(UTC)
    due = [each for each in states if each.next_probe_at and each.next_probe_at <= now]
    return [deed for state in due if (deed := _retest(care, state))]


def _retest(care: HealingContext, state: BreakerState) -> ActionResult | None:
    lasted = (datetime.now(UTC) - state.opened_at).total_seconds() if state.opened_at else None
    with care.scope() as session:
        if session.execute(WAITS, {"name": state.name}).scalar():
            breaker_wakeup.wake_one(session, state.name, entities=list(ENTITIES))
            return ActionResult(
                action=BREAKERS, subject=state.name, lasted_seconds=lasted, detail={"probed_by": "work"}
            )
    entity = listed_under().get(state.name)
    if entity is None:
        return None  # the token endpoint is asked when a token is needed, the database at every transaction
    try:
        _ask(care, entity, state.name)
    except SNOOZE:
        return None  # somebody else's probe, or no leave to ask: another time
    except SourceError as error:
        failed = {"probed_by": "a list", "error": f"{error.code}: {error}"[:200]}
        return ActionResult(
            action=BREAKERS, subject=state.name, outcome=HealingOutcome.FAILED, lasted_seconds=lasted, detail=failed
        )
    detail = {"probed_by": "a list", "closed": _is_closed(care, state.name)}
    return ActionResult(action=BREAKERS, subject=state.name, lasted_seconds=lasted, detail=detail)


def _ask(care: HealingContext, entity: Entity, name: str) -> None:
    """As many calls as close a breaker; nothing changed since now, so the answers are short."""
    since = datetime.now(UTC) if entity.stream.modified_key else None
    client = care.source(entity.stream.source)
    for _ in range(care.settings.breaker_successes):
        client.list_page(entity.stream, since=since, page=1, traffic=Traffic.SCHEDULED)
        if _is_closed(care, name):
            return


def listed_under() -> Mapping[str, Entity]:
    """An entity whose list goes through each breaker, by the breaker's name."""
    return {
        f"{each.stream.source}.{each.stream.api}.{each.stream.path.partition('/')[0]}": each
        for each in ENTITIES.values()
    }


def _is_closed(care: HealingContext, name: str) -> bool:
    try:
        return any(each.name == name and each.state is State.CLOSED for each in care.breakers.states(of_all=True))
    except BreakersAwayError:
        return False


LEASES, LETTERS, NUDGES = "leases", "letters", "nudges"
# The dispatcher announces within a second and workers claim within another: so long, and something is wrong.
UNTOLD_SECONDS = 10.0


def report_recovered_leases(rescued: RecoveredLeases) -> list[ActionResult]:
    """What is written down of a rescue; nothing of one that found nothing."""
    if not (rescued.item_count or rescued.run_count):
        return []
    detail = {name: getattr(rescued, name) for name in RecoveredLeases.__slots__}
    return [ActionResult(action=LEASES, count=rescued.item_count + rescued.run_count, detail=detail)]


def recover_leases(care: HealingContext) -> list[ActionResult]:
    """Take back what dead and silent workers hold."""
    with care.scope() as session:
        expire(session, care.dead(lease_holders(session)))
        return report_recovered_leases(recover_expired_leases(session))


def retry_dead_letters(care: HealingContext) -> list[ActionResult]:
    """Retry dead letters whose time has come."""
    chosen = care.settings
    with care.scope() as session:
        count = retry_due(
            session,
            after_seconds=chosen.revive_after_seconds,
            most_times=chosen.revive_times,
            count=chosen.revive_at_once,
        )
    return [ActionResult(action=LETTERS, count=count)] if count else []


def nudge_due(care: HealingContext) -> list[ActionResult]:
    """Tell workers of work that has been due for long."""
    with care.scope() as session:
        work = due_work(session, list(ENTITIES))
    deeds = []
    for due in work:
        if due.oldest_seconds > UNTOLD_SECONDS:
            outcome = HealingOutcome.DONE if care.announce(due.entity) else HealingOutcome.FAILED
            deeds.append(
                ActionResult(
                    action=NUDGES,
                    entity=due.entity,
                    count=due.count,
                    outcome=outcome,
                    lasted_seconds=due.oldest_seconds,
                )
            )
    return deeds


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


def report_stuck(care: HealingContext) -> list[ActionResult]:
    """Tell of what is processed for over an hour: of what moves once, of what stands still every hour."""
    with care.scope() as session:
        found = [
            dict(row)
            for statement in (STUCK_ITEMS, STUCK_RUNS)
            for row in session.execute(statement, {"stuck": STUCK_SECONDS}).mappings()
        ]
        return [_stuck_deed(row) for row in found if not _was_told(session, row)]


def _was_told(session: Session, row: Mapping[str, Any]) -> bool:
    before = last_actions(session, STUCK, row["subject"])
    return before is not None and (row["moves"] or before["ago_seconds"] < STUCK_SECONDS)


def _stuck_deed(row: Mapping[str, Any]) -> ActionResult:
    kept = {name: row[name] for name in ("entity", "subject", "count", "lasted_seconds")}
    return ActionResult(
        action=STUCK, outcome=HealingOutcome.REPORTED, detail={**row["detail"], "moves": row["moves"]}, **kept
    )


def report_depth(care: HealingContext) -> list[ActionResult]:
    """Tell when the queue becomes deep, deeper, or well again; of a queue that stays as it is, nothing."""
    with care.scope() as session:
        depth = session.execute(QUEUE_DEPTH, {"bulk": BULK_PRIORITY}).scalar_one()
        before = last_actions(session, DEPTH, "queue")
    level = depth_level(depth, care.settings.depth_warning, care.settings.depth_critical)
    told = before["detail"]["level"] if before else "ok"
    if level == told:
        return []
    detail = {"depth": depth, "level": level, "before": told}
    is_well = level == "ok"
    return [
        ActionResult(
            action=DEPTH,
            subject="queue",
            outcome=HealingOutcome.DONE if is_well else HealingOutcome.REPORTED,
            lasted_seconds=before["ago_seconds"] if before and is_well else None,
            detail=detail,
        )
    ]


def depth_level(depth: int, warning: int, critical: int) -> str:
    """How grave a queue of so many items is: ok, warning or critical."""
    return "critical" if depth > critical else "warning" if depth > warning else "ok"
