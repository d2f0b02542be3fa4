"""Healing actions: repair expired leases, due dead letters, idle breakers and unannounced work; report stuck work.

Each action takes the healing context and returns what it repaired or reported.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.breakers.breaker import BreakerStatus
from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import BreakersAwayError
from tds_core.dead_letters.retry import retry_due
from tds_core.errors import SNOOZE, SourceError
from tds_core.healing.action_log import ActionResult, HealingOutcome, last_action
from tds_core.healing.context import HealingContext
from tds_core.processing.lease_recovery import RecoveredLeases, expire, lease_holders, recover_expired_leases
from tds_core.queue import breaker_wakeup
from tds_core.queue.claim import due_work
from tds_core.queue.items import BULK_PRIORITY
from tds_core.sources.base import Traffic
from tds_core.webhook_coverage.fallback_polling import poll_silent_entities
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

BREAKERS, LEASES, LETTERS, NUDGES, STUCK, DEPTH = "breakers", "leases", "letters", "nudges", "stuck", "depth"
GAPS = "webhook_gaps"

# The dispatcher announces within a second and workers claim within another; later than this the announcement was lost.
LATE_SECONDS = 10.0
STUCK_SECONDS = 3600.0

WAITS = text("""
select exists (select from tds_sync_queue where waits_for = :name and lease_token is null)
    or exists (select from tds_sync_runs where waits_for = :name and lease_token is null)
""")
# Reported only: a live lease is never taken away for its age. A claim and an event move updated_at.
STUCK_ITEMS = text("""
select leased_by as subject, min(entity) as entity, count(*) as count,
    extract(epoch from clock_timestamp() - min(updated_at))::float8 as lasted_seconds, false as moves,
    jsonb_build_object('oldest', min(entity || ' ' || source_id)) as detail
from tds_sync_queue where lease_token is not null and updated_at < now() - make_interval(secs => :stuck)
group by leased_by
""")
# A run that waits for its time, for quota for example, is not being processed.
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


def probe_breakers(context: HealingContext) -> list[ActionResult]:
    """Probe every open breaker whose time has come: by work that waits for it, else by the first page of a list."""
    try:
        states = context.breakers.states(of_all=True)
    except BreakersAwayError:
        return []  # without Redis every process probes for itself
    now = datetime.now(UTC)
    due = [state for state in states if state.next_probe_at and state.next_probe_at <= now]
    return [result for state in due if (result := _probe_breaker(context, state))]


def _probe_breaker(context: HealingContext, state: BreakerStatus) -> ActionResult | None:
    lasted = (datetime.now(UTC) - state.opened_at).total_seconds() if state.opened_at else None
    with context.scope() as session:
        if session.execute(WAITS, {"name": state.name}).scalar():
            breaker_wakeup.wake_one(session, state.name, entities=list(ENTITIES))
            return ActionResult(
                action=BREAKERS, subject=state.name, lasted_seconds=lasted, detail={"probed_by": "work"}
            )
    entity = entities_by_breaker().get(state.name)
    if entity is None:
        return None  # the token endpoint and the database are probed by the calls that need them
    try:
        _probe(context, entity, state.name)
    except SNOOZE:
        return None  # another process probes, or no call is allowed now: the next cycle tries again
    except SourceError as error:
        detail = {"probed_by": "a list", "error": f"{error.code}: {error}"[:200]}
        return ActionResult(
            action=BREAKERS, subject=state.name, outcome=HealingOutcome.FAILED, lasted_seconds=lasted, detail=detail
        )
    closed = _is_closed(context, state.name)
    return ActionResult(
        action=BREAKERS, subject=state.name, lasted_seconds=lasted, detail={"probed_by": "a list", "closed": closed}
    )


def _probe(context: HealingContext, entity: Entity, name: str) -> None:
    """Call as often as a breaker needs to close; asking for changes since now keeps the responses short."""
    since = datetime.now(UTC) if entity.stream.modified_key else None
    client = context.source(entity.stream.source)
    for _ in range(context.settings.breaker_successes):
        client.list_page(entity.stream, since=since, page=1, traffic=Traffic.SCHEDULED)
        if _is_closed(context, name):
            return


def entities_by_breaker() -> Mapping[str, Entity]:
    """By breaker name, an entity whose list calls go through that breaker."""
    return {
        f"{entity.stream.source}.{entity.stream.api}.{entity.stream.path.partition('/')[0]}": entity
        for entity in ENTITIES.values()
    }


def _is_closed(context: HealingContext, name: str) -> bool:
    try:
        states = context.breakers.states(of_all=True)
    except BreakersAwayError:
        return False
    return any(breaker.name == name and breaker.state is CircuitState.CLOSED for breaker in states)


def recover_leases(context: HealingContext) -> list[ActionResult]:
    """Take back the leases of dead and silent workers."""
    with context.scope() as session:
        expire(session, context.dead(lease_holders(session)))
        return recovered_lease_results(recover_expired_leases(session))


def recovered_lease_results(recovered: RecoveredLeases) -> list[ActionResult]:
    """What the healing log records of recovered leases; empty when there were none."""
    if not (recovered.item_count or recovered.run_count):
        return []
    detail = {name: getattr(recovered, name) for name in RecoveredLeases.__slots__}
    return [ActionResult(action=LEASES, count=recovered.item_count + recovered.run_count, detail=detail)]


def retry_dead_letters(context: HealingContext) -> list[ActionResult]:
    """Retry dead letters whose time has come."""
    settings = context.settings
    with context.scope() as session:
        count = retry_due(
            session,
            after_seconds=settings.revive_after_seconds,
            most_times=settings.revive_times,
            count=settings.revive_at_once,
        )
    return [ActionResult(action=LETTERS, count=count)] if count else []


def nudge_due(context: HealingContext) -> list[ActionResult]:
    """Announce work again that has been due for longer than an announcement takes."""
    with context.scope() as session:
        work = due_work(session, list(ENTITIES))
    results = []
    for due in work:
        if due.oldest_seconds > LATE_SECONDS:
            outcome = HealingOutcome.DONE if context.announce(due.entity) else HealingOutcome.FAILED
            results.append(
                ActionResult(
                    action=NUDGES,
                    entity=due.entity,
                    count=due.count,
                    outcome=outcome,
                    lasted_seconds=due.oldest_seconds,
                )
            )
    return results


def fill_webhook_gaps(context: HealingContext) -> list[ActionResult]:
    """Have entities polled more often whose webhooks stay away."""
    with context.scope() as session:
        run_ids = poll_silent_entities(session)
    return [ActionResult(action=GAPS, entity=name, detail={"run_id": run_id}) for name, run_id in run_ids.items()]


def report_stuck(context: HealingContext) -> list[ActionResult]:
    """Report work processed for over an hour: once while it makes progress, every hour while it does not."""
    with context.scope() as session:
        rows = [
            row
            for statement in (STUCK_ITEMS, STUCK_RUNS)
            for row in session.execute(statement, {"stuck": STUCK_SECONDS}).mappings()
        ]
        return [_stuck_result(row) for row in rows if not _is_reported(session, row)]


def _is_reported(session: Session, row: RowMapping) -> bool:
    last = last_action(session, STUCK, row["subject"])
    return last is not None and (row["moves"] or last.ago_seconds < STUCK_SECONDS)


def _stuck_result(row: RowMapping) -> ActionResult:
    return ActionResult(
        action=STUCK,
        outcome=HealingOutcome.REPORTED,
        entity=row["entity"],
        subject=row["subject"],
        count=row["count"],
        lasted_seconds=row["lasted_seconds"],
        detail={**row["detail"], "moves": row["moves"]},
    )


def report_depth(context: HealingContext) -> list[ActionResult]:
    """Report when the queue depth changes its level: ok, warning or critical."""
    with context.scope() as session:
        depth = session.execute(QUEUE_DEPTH, {"bulk": BULK_PRIORITY}).scalar_one()
        last = last_action(session, DEPTH, "queue")
    level = depth_level(depth, context.settings.depth_warning, context.settings.depth_critical)
    last_level = last.detail["level"] if last else "ok"
    if level == last_level:
        return []
    detail = {"depth": depth, "level": level, "before": last_level}
    is_ok = level == "ok"
    return [
        ActionResult(
            action=DEPTH,
            subject="queue",
            outcome=HealingOutcome.DONE if is_ok else HealingOutcome.REPORTED,
            lasted_seconds=last.ago_seconds if last and is_ok else None,
            detail=detail,
        )
    ]


def depth_level(depth: int, warning: int, critical: int) -> str:
    """The level of a queue of `depth` items: ok, warning or critical."""
    return "critical" if depth > critical else "warning" if depth > warning else "ok"
