"""The page of the quota: what is used by class and hour, and how long it lasts."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from tds_core.config.settings import load_settings
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.governor import open_governor
from tests.support.page_reader import Pages, pages_of

PAGE = "/dashboard/quota"


def noon_zone() -> str:
    """A zone where it is about noon: how long a day's calls last depends on how much of the day is left."""
    west = datetime.now(UTC).hour - 12
    return f"Etc/GMT{west:+d}"


@pytest.fixture
def settings(redis_url: str) -> dict[str, str]:
    return {
        "TDS_REDIS_URL": redis_url, "ZOHO_ORGANIZATION_ID": "42", "ZOHO_BOOKS_CALLS_PER_DAY": "1000",
        "ZOHO_INVENTORY_CALLS_PER_DAY": "0",
        "ZOHO_QUOTA_WAIT_SECONDS": "0", "ZOHO_QUOTA_ZONE": noon_zone(),
    }  # fmt: skip


@pytest.fixture
def pages(database: str, engine: Engine, settings: dict[str, str]) -> Iterator[Pages]:
    with pages_of(database, engine, **settings) as pages:
        yield pages


def spend(settings: dict[str, str], count: int) -> None:
    governor = open_governor(load_settings(settings))
    for _ in range(count):
        with governor.admit(api="books", traffic=Traffic.LIVE) as permit:
            permit.record_response(200, {})


def test_the_day_is_shown_by_class_and_by_hour_with_its_end(pages: Pages, settings: dict[str, str]) -> None:
    spend(settings, 20)
    books, inventory = pages.viewer.json(PAGE)["quota"]["days"]
    assert (books["used"], sum(hour["by_class"]["live"] for hour in books["hours"])) == (20, 20)
    assert (inventory["used"], inventory["hours"]) == (0, [])
    seen = pages.viewer.get(PAGE).text
    assert "At this pace the last call of the day is made at" in seen
    assert '<tr id="class-books-live"><th scope="row">live</th>\n<td class="num" data-label="Used">20</td>' in seen
    assert "Calls to books since the last reset" in seen
    assert "No limit is set or known" in seen


def test_before_any_call_it_lasts_and_draws_nothing(pages: Pages) -> None:
    seen = pages.viewer.get(PAGE).text
    assert "Urgent calls last until the reset." in seen
    assert "Calls to books since" not in seen


def test_without_redis_the_page_says_what_is_wrong(database: str, engine: Engine, settings: dict[str, str]) -> None:
    with pages_of(database, engine, **{**settings, "TDS_REDIS_URL": "redis://127.0.0.1:9/0"}) as pages:
        answer = pages.viewer.get(PAGE)
        assert (answer.status_code, "check TDS_REDIS_URL" in answer.text) == (503, True)
