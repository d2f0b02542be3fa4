"""The page of the queue: what waits, what is retried and why, and pauses that are seen."""

from collections.abc import Iterator

import pytest

from tds_api.pages.queue import steps
from tests.support.page_reader import Pages, pages_of
from tests.support.world import World

PAGE = "/dashboard/queue"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine) as pages:
        yield pages


def test_an_item_that_is_tried_again_says_how_often_and_why(world: World, pages: Pages) -> None:
    world.enqueue("product", "1", "2")
    world.enqueue("customer", "3")
    world.execute("update tds_sync_queue set attempts = 2, last_error = 'transient: <b>503</b>' where source_id = '1'")
    page = pages.viewer.get(PAGE, source_id="1").text
    assert "retrying 2/8" in page
    assert "transient: &lt;b&gt;503&lt;/b&gt;" in page
    assert [item["source_id"] for item in pages.viewer.json(PAGE, entity="product")["work"]["items"]] == ["2", "1"]
    [figures] = [each for each in pages.viewer.json(PAGE)["stats"] if each["entity"] == "product"]
    assert figures["due_count"] == 2
    assert f'href="{PAGE}?entity=product&amp;state=due"' in pages.viewer.get(PAGE).text
    assert len(pages.viewer.get(PAGE, format="csv").text.splitlines()) == 4


def test_a_pause_is_loud_and_names_who_and_why_until_it_is_resumed(world: World, pages: Pages) -> None:
    paused = pages.operator.press(PAGE, "POST queue/pause", **{"entity{}": '"product"', "reason": "prices change"})
    assert paused.status_code == 303
    assert world.rows("select entity, paused_by from tds_queue_pauses") == [
        {"entity": "product", "paused_by": "the-operator"}
    ]
    page = pages.viewer.get(PAGE).text
    assert "The work of product is paused" in page and "prices change" in page
    assert pages.operator.press(PAGE, "POST queue/resume", entity="product").status_code == 303
    assert world.value("select count(*) from tds_queue_pauses") == 0


def test_all_are_paused_only_when_all_are_chosen(world: World, pages: Pages) -> None:
    unclear = pages.operator.press(PAGE, "POST queue/pause", **{"entity{}": "nothing that exists"})
    assert unclear.status_code == 422
    assert world.value("select count(*) from tds_queue_pauses") == 0
    pages.operator.press(PAGE, "POST queue/pause", **{"entity{}": "null", "reason": "all"})
    assert world.value("select count(*) from tds_queue_pauses") > 5


def test_a_viewer_pauses_nothing(world: World, pages: Pages) -> None:
    assert not pages.viewer.offers(PAGE, "POST queue/pause")
    assert "needs the role" in pages.viewer.get(PAGE).text
    assert pages.viewer.post("POST queue/pause", entity="product").status_code == 403
    assert pages.operator.post("POST queue/pause", entity="product").status_code == 403, "without the token"
    assert world.value("select count(*) from tds_queue_pauses") == 0


def test_stored_figures_are_drawn_and_hold_until_the_next(world: World, pages: Pages) -> None:
    world.execute(
        "insert into tds_metrics (name, subject, at, value) values ('backlog', '', now() - interval '2 days', 70),"
        " ('backlog', '', now() - interval '1 hour', 400), ('backlog', '', now() - interval '10 minutes', null),"
        " ('sync_lag', '', now() - interval '40 days', null)"
    )
    trend = pages.viewer.json(PAGE)["trend"]
    assert [each["value"] for each in trend["depth"]] == [70, 400, None]
    assert trend["depth"][0]["at"] == trend["since"], "what was measured before holds at the beginning"
    assert "Items that wait, last 24 hours" in pages.viewer.get(PAGE).text
    assert steps([{"at": "1", "value": 5.0}, {"at": "2", "value": None}], "3") == [
        ("1", 5.0), ("2", 5.0), ("2", 0.0), ("3", 0.0),
    ]  # fmt: skip
