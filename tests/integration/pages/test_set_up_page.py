"""The page of the set-up: a fresh installation is led step by step, and one that is ready says so."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_models.entities import ENTITIES
from tests.support.page_reader import Pages, pages_of

PAGE = "/dashboard/set-up"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    with pages_of(database, engine) as pages:
        yield pages


def states(pages: Pages) -> dict[str, str]:
    return {step["name"]: step["state"] for step in pages.viewer.json(PAGE)["set_up"]["steps"]}


def execute(pages: Pages, *statements: str) -> None:
    with pages.sender.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def connect(pages: Pages) -> None:
    execute(
        pages,
        "insert into tds_source_tokens (source, refresh_token, access_token, expires_at)"
        " values ('zoho', 'x', 'x', now() + interval '1 hour')",
    )


def read_in_full(pages: Pages, state: str, *entities: str) -> None:
    for entity in entities:
        execute(
            pages,
            "insert into tds_sync_runs (source, entity, mode, state, requested_by, correlation_id, fetched_count,"
            f" expected_count) values ('zoho', '{entity}', 'full', '{state}', 'test', 'c', 40, 100)",
        )


def test_a_fresh_installation_is_led_to_the_connection_from_the_overview(pages: Pages) -> None:
    found = pages.viewer.json(PAGE)["set_up"]
    assert (found["next"], set(states(pages).values())) == ("connection", {"to_do"})
    seen = pages.viewer.get(PAGE).text
    assert "0 of 5 steps are done." in seen
    assert 'href="/api/tds/zoho/oauth/start"' in seen
    assert f'href="{PAGE}"' in pages.viewer.get("/dashboard").text.split('<main id="main"')[1]


def test_the_first_sync_is_begun_here_and_shows_its_progress(pages: Pages) -> None:
    connect(pages)
    assert states(pages)["connection"] == "done"
    assert "The first sync has not ended." in pages.viewer.get("/dashboard").text
    assert not pages.viewer.offers(PAGE, "POST sync/all")
    assert pages.operator.press(PAGE, "POST sync/all").status_code == 303
    assert {run["mode"] for run in pages.viewer.json(PAGE)["runs"]["items"]} == {"full"}
    execute(
        pages,
        "update tds_sync_runs set state = 'running', started_at = now(), fetched_count = 40, expected_count = 100",
    )
    seen = pages.viewer.get(PAGE).text
    assert states(pages)["first_sync"] == "under_way"
    assert 'max="100" value="40"' in seen
    execute(pages, "update tds_sync_runs set state = 'completed'")
    assert states(pages)["first_sync"] == "done"


def test_an_entity_that_failed_keeps_the_step_open(pages: Pages) -> None:
    connect(pages)
    first, *others = ENTITIES
    read_in_full(pages, "completed", *others)
    read_in_full(pages, "failed", first)
    found = pages.viewer.json(PAGE)["set_up"]
    assert (found["next"], found["steps"][1]["state"]) == ("first_sync", "to_do")
    assert found["steps"][1]["says"] == f"{len(others)} of {len(ENTITIES)} entities were read in full."


def test_all_is_green_at_the_end(pages: Pages) -> None:
    connect(pages)
    read_in_full(pages, "completed", *ENTITIES)
    execute(
        pages,
        "insert into tds_inbox_events (source, entity, event, source_id, correlation_id)"
        " values ('zoho', 'product', 'updated', '1', 'c')",
        "insert into tds_comparisons (source, state, requested_by, correlation_id, seed)"
        " values ('zoho', 'completed', 'test', 'c', 1)",
        "insert into tds_alert_channels (name, kind, locked, masked, created_by, sent_at)"
        " values ('ops', 'email', '', 'mailto', 'test', now())",
    )
    assert set(states(pages).values()) == {"done"}
    assert pages.viewer.json(PAGE)["set_up"]["next"] is None
    assert "All is set up" in pages.viewer.get(PAGE).text
    assert "Go on with the set-up" not in pages.viewer.get("/dashboard").text
