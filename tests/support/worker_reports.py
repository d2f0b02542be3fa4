"""Workers as they tell of themselves, without being there; and what healing may use in a test."""

from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.healing import cycle, worker_status
from tds_core.healing.action_log import Cause
from tds_core.healing.context import HealingContext
from tds_core.healing.worker_status import WorkerReport
from tds_models.db import session_scope
from tds_tasks.context import settings
from tds_tasks.worker import lease_holder_liveness
from tests.support.world import ScriptedSource, World

ELSEWHERE = "far:7:elsewher"


def scope_of(world: World) -> Any:
    def scope() -> AbstractContextManager[Session]:
        return session_scope(world.engine)

    return scope


def healing_context_of(world: World, **more: Any) -> HealingContext:
    """Announcing reaches `world.nudged`; sources answer nothing."""

    def announce(entity: str) -> bool:
        world.nudged.append(entity)
        return True

    params: dict[str, Any] = {
        "settings": settings(),
        "scope": scope_of(world),
        "breakers": Breakers(),
        "announce": announce,
        "dead": lease_holder_liveness.dead,
        "source": lambda name: ScriptedSource(),
        **more,
    }
    return HealingContext(**params)


def heal(world: World, context: HealingContext | None = None) -> dict[str, Any]:
    """One cycle. Returns what each action came to, without those that found nothing."""
    with session_scope(world.engine) as session:
        begun = cycle.begin(session, cause=Cause.OPERATOR, by="test")
    counts = cycle.run(context or healing_context_of(world), begun, cause=Cause.OPERATOR)
    return {name: count for name, count in counts.items() if count != 0}


def tell(world: World, process: str = ELSEWHERE, **more: Any) -> str | None:
    """A worker tells of itself. Returns why it has to end, if it has to."""
    told = {
        "process": process,
        "name": f"worker@{process}",
        "born": 1.5,
        "private_queue": f"tds.ear.{process}",
        "slot_count": 2,
        "busy_count": 0,
        "queues": ["tds.high"],
        "lost_queues": [],
        "heard_seconds": 0.0,
        "loop_seconds": 0.0,
        **more,
    }
    with session_scope(world.engine) as session:
        return worker_status.report_worker(session, WorkerReport(**told))


def leave_canaries(world: World, queue: str, *, count: int = 4, seconds: float = 61) -> None:
    """So many canaries have been lying on a queue for so long."""
    world.execute(
        "insert into tds_canaries (queue, nonce, unanswered_count, unanswered_since)"
        " values (:queue, gen_random_uuid(), :count, now() - make_interval(secs => :seconds))",
        queue=queue,
        count=count,
        seconds=seconds,
    )


def deeds(world: World, action: str) -> list[dict[str, Any]]:
    return world.rows("select * from tds_healing_actions where action = :action order by id", action=action)
