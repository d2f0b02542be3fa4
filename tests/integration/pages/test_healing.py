"""The pages of healing and of workers: what was put right by itself, and which processes run."""

from collections.abc import Iterator

import pytest

from tests.support.page_reader import Pages, pages_of
from tests.support.world import World

PAGE, WORKERS = "/dashboard/healing", "/dashboard/workers"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine) as pages:
        yield pages


def test_deeds_are_counted_by_action_and_lead_to_the_history(world: World, pages: Pages) -> None:
    world.execute(
        "insert into tds_healing_actions (action, cause, entity, count, outcome, lasted_seconds, detail)"
        " values ('leases', 'dispatcher', 'product', 3, 'done', 12, '{\"why\": \"<b>gone</b>\"}'),"
        " ('depth', 'beat', null, 1, 'reported', null, '{}')"
    )
    figures = {row["action"]: row["done_count"] for row in pages.viewer.json(PAGE)["figures"]["actions"]}
    assert figures["leases"] == 3
    page = pages.viewer.get(PAGE).text
    assert f'href="{PAGE}?action=leases&amp;outcome=done"' in page
    assert "&lt;b&gt;gone&lt;/b&gt;" in page
    of_leases = pages.viewer.json(PAGE, action="leases", outcome="done")["deeds"]["items"]
    assert [deed["count"] for deed in of_leases] == [3]
    assert len(pages.viewer.get(PAGE, format="csv").text.splitlines()) == 3
    assert pages.viewer.json(PAGE, hours=168)["figures"]["hours"] == 168


def test_an_operator_heals_now_and_sees_what_it_came_to(world: World, pages: Pages) -> None:
    assert not pages.viewer.offers(PAGE, "POST auto-healing/run")
    assert pages.viewer.post("POST auto-healing/run").status_code == 403
    assert pages.operator.post("POST auto-healing/run").status_code == 403, "without the token"
    assert world.value("select count(*) from tds_healing_cycles") == 0
    answer = pages.operator.press(PAGE, "POST auto-healing/run")
    assert (answer.status_code, "the-operator" in answer.text) == (200, True)
    assert world.value("select requested_by from tds_healing_cycles") == "the-operator"


def test_workers_are_shown_by_their_own_reports_and_none_is_loud(world: World, pages: Pages) -> None:
    assert "No worker listens" in pages.viewer.get(WORKERS).text
    world.execute(
        "insert into tds_listeners (process, name, born, ear, slot_count, busy_count, queues, lost_queues, alive_at,"
        " heard_at, looped_at) values ('vm:1:a', 'worker1@vm', 1, 'tds.ear.vm:1:a', 4, 1,"
        " '{tds.high,tds.ear.vm:1:a}', '{tds.low}', now(), now(), now())"
    )
    world.execute("insert into tds_pulses (name, beat_at) values ('dispatcher', now() - interval '90 seconds')")
    running = pages.viewer.json(WORKERS)["running"]
    assert [(worker["name"], worker["state"]) for worker in running["workers"]] == [("worker1@vm", "listening")]
    assert [process["silent_seconds"] >= 90 for process in running["processes"]] == [True]
    page = pages.viewer.get(WORKERS).text
    assert "No worker listens" not in page
    assert "tds.low is lost" in page
    assert running["flower_url"] in page and running["version"] in page
