"""A cycle: every declared action once, one's failure no other's, and a row that says what each came to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing import actions, workers
from tds_core.healing.action_log import ActionResult, Cause, HealingOutcome, record_action
from tds_core.healing.context import HealingContext
from tds_models.db import Lock

log = structlog.get_logger(__name__)

#: The timetable's rhythm and what a late Beat is given: after that the dispatcher runs the cycle.
OVERDUE_SECONDS = 330.0


@dataclass(frozen=True, slots=True)
class Action:
    """Something healing does: its name, what it means, and the doing."""

    name: str
    meaning: str
    take: Callable[[HealingContext], list[ActionResult]]


ACTIONS: tuple[Action, ...] = (
    Action(actions.LEASES, "takes back what dead and silent workers hold", actions.recover_leases),
    Action(workers.WORKERS, "ends workers that live and do not consume", workers.stop_unresponsive),
    Action(actions.LETTERS, "retries dead letters whose time has come", actions.retry_dead_letters),
    Action(actions.BREAKERS, "probes breakers that nobody's work would probe", actions.retest),
    Action(actions.NUDGES, "announces due work that nobody took up", actions.nudge_due),
    Action(actions.STUCK, "reports what is processed for over an hour", actions.report_stuck),
    Action(actions.DEPTH, "reports a queue that became deep", actions.report_depth),
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
    """Begin a cycle if none began within so long; of many who try one does."""
    session.execute(Lock.HEALING_CYCLE.until_commit())
    found: int | None = session.execute(BEGIN_OVERDUE, {"cause": cause, "seconds": seconds}).scalar()
    return found


def run(care: HealingContext, cycle_id: int, *, cause: Cause) -> Mapping[str, int | None]:
    """Take every action. Returns how much each put right or told of; None for one that failed."""
    counts: dict[str, int | None] = {}
    for action in ACTIONS:
        try:
            deeds = action.take(care)
            counts[action.name] = sum(deed.count for deed in deeds)
        except Exception as error:  # the edge of an action: the others shall have their turn
            log.exception("healing_action_failed", action=action.name)
            counts[action.name] = None
            detail = {"error": f"{type(error).__name__}: {error}"[:300]}
            deeds = [ActionResult(action=action.name, outcome=HealingOutcome.FAILED, detail=detail)]
        if deeds:
            with care.scope() as session:
                record_action(session, deeds, cause=cause, cycle_id=cycle_id)
    with care.scope() as session:
        session.execute(FINISH, {"id": cycle_id, "counts": msgspec.json.encode(counts).decode()})
    log.info("healing_cycle_completed", cause=cause, **{name: count for name, count in counts.items() if count != 0})
    return counts
