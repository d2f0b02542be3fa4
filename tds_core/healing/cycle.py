"""A healing cycle: runs every declared action once, whatever the others do, and records how much each repaired."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing import actions, worker_status
from tds_core.healing.action_log import ActionResult, Cause, HealingOutcome, record_action
from tds_core.healing.context import HealingContext
from tds_models.db import Lock

log = structlog.get_logger(__name__)

#: The interval of the timetable plus a margin for a late Beat: after that the dispatcher runs the cycle.
OVERDUE_SECONDS = 330.0


@dataclass(frozen=True, slots=True)
class CycleAction:
    """One action of a cycle: its name in the log, its meaning for people, and the function."""

    name: str
    meaning: str
    run: Callable[[HealingContext], list[ActionResult]]


ACTIONS: tuple[CycleAction, ...] = (
    CycleAction(actions.LEASES, "takes back the work of dead and silent workers", actions.recover_leases),
    CycleAction(worker_status.WORKERS, "ends workers that run and do not consume", worker_status.stop_unresponsive),
    CycleAction(actions.LETTERS, "retries dead letters whose time has come", actions.retry_dead_letters),
    CycleAction(actions.BREAKERS, "probes open breakers that no waiting work would probe", actions.probe_breakers),
    CycleAction(actions.NUDGES, "announces due work that no worker has taken", actions.nudge_due),
    CycleAction(actions.GAPS, "polls entities whose webhooks stay away", actions.fill_webhook_gaps),
    CycleAction(actions.STUCK, "reports work that takes over an hour", actions.report_stuck),
    CycleAction(actions.DEPTH, "reports a queue that became deep", actions.report_depth),
)

BEGIN = text("insert into tds_healing_cycles (cause, requested_by) values (:cause, :by) returning id")
BEGIN_OVERDUE = text("""
insert into tds_healing_cycles (cause) select :cause
where not exists (select from tds_healing_cycles
                  where began_at > clock_timestamp() - make_interval(secs => :seconds))
returning id
""")
FINISH = text("""
update tds_healing_cycles set ended_at = clock_timestamp(), counts = cast(:counts as jsonb) where id = :id
""")


def begin(session: Session, *, cause: Cause, by: str | None = None) -> int:
    """Begin a cycle. Returns its id."""
    return int(session.execute(BEGIN, {"cause": cause, "by": by}).scalar_one())


def begin_overdue(session: Session, *, cause: Cause, seconds: float) -> int | None:
    """Begin a cycle if none began within `seconds`. Returns its id; None when one had begun."""
    session.execute(Lock.HEALING_CYCLE.until_commit())
    cycle_id: int | None = session.execute(BEGIN_OVERDUE, {"cause": cause, "seconds": seconds}).scalar()
    return cycle_id


def run(context: HealingContext, cycle_id: int, *, cause: Cause) -> Mapping[str, int | None]:
    """Run every action. Returns by action name how much it repaired or reported; None when it failed."""
    counts: dict[str, int | None] = {}
    for action in ACTIONS:
        try:
            results = action.run(context)
            counts[action.name] = sum(result.count for result in results)
        except Exception as error:  # one failed action must not keep the others from running
            log.exception("healing_action_failed", action=action.name)
            counts[action.name] = None
            detail = {"error": f"{type(error).__name__}: {error}"[:300]}
            results = [ActionResult(action=action.name, outcome=HealingOutcome.FAILED, detail=detail)]
        if results:
            with context.scope() as session:
                record_action(session, results, cause=cause, cycle_id=cycle_id)
    with context.scope() as session:
        session.execute(FINISH, {"id": cycle_id, "counts": msgspec.json.encode(counts).decode()})
    log.info("healing_cycle_completed", cause=cause, **{name: count for name, count in counts.items() if count != 0})
    return counts
