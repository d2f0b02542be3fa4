"""What the tasks themselves answer, as Celery calls them: a sentence, or a failure that says the same."""

import re

import pytest

from tds_core.errors import PermanentError
from tds_tasks import schedule
from tds_tasks.app import app
from tds_tasks.task_results import WorkFailedError
from tests.support.world import ScriptedSource, World, delivery, product

ENTITY_TASK = "tds.sync.product"


def test_a_task_says_what_became_of_its_records_and_events(world: World) -> None:
    first, last = (world.deliver(delivery("product", product(str(number))))[0].event_id for number in (1, 2))
    assert app.tasks[ENTITY_TASK]() == f"product: 2 applied, 0 retried, 0 dead-lettered, events {first}-{last}"
    assert app.tasks[ENTITY_TASK]() == "product: nothing was due"


def test_a_task_fails_with_a_record_whose_attempt_failed(world: World, source: ScriptedSource) -> None:
    source.records["1"] = PermanentError("refused")
    world.enqueue("product", "1")
    world.deliver(delivery("product", product("2")))
    sentence = r"product: 1 applied, 0 retried, 1 dead-lettered, event \d+"
    with pytest.raises(WorkFailedError, match=f"^{sentence}$"):
        app.tasks[ENTITY_TASK]()
    assert WorkFailedError in app.tasks[ENTITY_TASK].throws, "Celery would log it as a bug"


def test_a_run_says_how_far_it_is(world: World, source: ScriptedSource) -> None:
    source.pages = [PermanentError("no such list")]
    run_id = world.request_run("product", "full")
    with pytest.raises(WorkFailedError, match=re.escape(f"run {run_id}, product, full: failed, 0 pages")):
        app.tasks["tds.run.advance"](run_id)


def test_a_tick_names_the_jobs_it_ran(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule.celeryconfig, "TIMETABLE", {})
    assert app.tasks["tds.timetable.tick"]() == "no job was due"
    monkeypatch.setattr(schedule, "tick", lambda: {"daily": True, "hourly": False})
    with pytest.raises(WorkFailedError, match=r"^daily completed, hourly failed$"):
        app.tasks["tds.timetable.tick"]()


def test_canaries_send_flower_nothing() -> None:
    assert [name for name, task in app.tasks.items() if name.startswith("tds.") and not task.send_events] == [
        "tds.canary"
    ]
