"""Comparisons taken to their end in the test's process."""

from typing import Any

from tds_core.comparison import comparisons
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import runs as run_tasks
from tests.support.world import World

#: A second run of `advance` after a wait: nothing in a test waits longer than this.
MOST_STEPS = 200


def load_all(world: World) -> None:
    """Bring the whole organisation over, details too."""
    for name in ENTITIES:
        world.run(name, "full")
    for name in ENTITIES:
        world.drain(name, make_due=True)


def compare(world: World, *entities: str, **more: Any) -> dict[str, Any]:
    """Take a comparison to its end. Returns its row."""
    with session_scope(world.engine) as session:
        comparison_id = comparisons.request_comparison(session, requested_by="test", entities=entities, **more)
    finish(world, comparison_id)
    return world.one("select * from tds_comparisons where id = :id", id=comparison_id)


def finish(world: World, comparison_id: int) -> None:
    """Let its runs go on, however long they mean to wait, until all have ended."""
    for _ in range(MOST_STEPS):
        open_runs = world.rows(
            "select run_id from tds_comparison_reports where comparison_id = :id and state = 'running' order by run_id",
            id=comparison_id,
        )
        if not open_runs:
            return
        world.execute("update tds_sync_runs set next_attempt_at = now() where lease_token is null")
        world.execute("update tds_comparison_differences set recheck_at = now() where state = 'suspect'")
        for run in open_runs:
            while run_tasks.advance_run(run["run_id"], slice_seconds=30):
                pass
    raise AssertionError(f"comparison {comparison_id} does not end: {open_runs}")


def report(world: World, comparison: dict[str, Any], entity: str) -> dict[str, Any]:
    """The report of one entity."""
    return world.one(
        "select * from tds_comparison_reports where comparison_id = :id and entity = :entity",
        id=comparison["id"],
        entity=entity,
    )


def differences(world: World, comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """What differs, and what could not be decided."""
    return world.rows(
        "select * from tds_comparison_differences where comparison_id = :id order by entity, source_id",
        id=comparison["id"],
    )
