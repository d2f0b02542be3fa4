"""The page of breakers: what is open comes first, and an operator closes one or all."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import load_settings
from tests.support.breaker_clock import NAME, fail
from tests.support.page_reader import Pages, pages_of

PAGE, CLOSE = "/dashboard/breakers", f"POST circuit-breakers/{NAME}/reset"


@pytest.fixture
def pages(database: str, engine: Engine, redis_url: str) -> Iterator[Pages]:
    with pages_of(database, engine, TDS_REDIS_URL=redis_url) as pages:
        breakers = open_breakers(load_settings({"TDS_REDIS_URL": redis_url}))
        with breakers.guard("zoho.books.bills"):
            pass
        fail(breakers, 5)
        yield pages


def test_what_is_open_comes_first_with_its_error_and_is_closed_by_hand(pages: Pages) -> None:
    seen = pages.viewer.get(PAGE).text
    assert seen.index(f'id="breaker-{NAME}"') < seen.index('id="breaker-zoho.books.bills"')
    assert "1 is not closed" in seen
    assert NAME in pages.viewer.get(PAGE, format="csv").text
    assert pages.operator.press(PAGE, CLOSE).status_code == 303
    states = {each["name"]: each for each in pages.viewer.json(PAGE)["breakers"]}
    assert (states[NAME]["state"], states[NAME]["reset_by"]) == ("closed", "the-operator")
    assert "All are closed" in pages.viewer.get(PAGE).text


def test_all_are_closed_at_once(pages: Pages) -> None:
    assert pages.operator.press(PAGE, "POST circuit-breakers/reset").status_code == 303
    assert {each["state"] for each in pages.viewer.json(PAGE)["breakers"]} == {"closed"}


def test_a_viewer_and_a_form_without_a_token_close_nothing(pages: Pages) -> None:
    assert not pages.viewer.offers(PAGE, CLOSE)
    assert pages.viewer.post(CLOSE, _csrf="x").status_code == 403
    assert pages.operator.post(CLOSE).status_code == 403
    assert "1 is not closed" in pages.viewer.get(PAGE).text
