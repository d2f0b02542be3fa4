"""The pages of statistics: the course of the work is drawn from what was stored, with its figures beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from tds_core.statistics.activity import COUNTS
from tds_core.statistics.latency_histogram import BOUNDS
from tests.support.page_reader import Pages, pages_of
from tests.support.planted_rows import plant, records, run

PAGE = "/dashboard/statistics"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    with pages_of(database, engine) as pages:
        yield pages


def stored(engine: Engine, began_at: datetime, entity: str, *, grain: str = "hour", **counts: Any) -> None:
    activity = {**dict.fromkeys(COUNTS, 0), "latency": [0] * (len(BOUNDS) + 1), **counts}
    plant(engine, "tds_statistics_history", {
        "entity": entity, "grain": grain, "began_at": began_at, "activity": msgspec.json.encode(activity).decode(),
    })  # fmt: skip


def test_the_course_is_drawn_by_hour_of_a_week_and_by_day_of_more(pages: Pages, engine: Engine) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    latency = [0, 99, 0, 1, *[0] * (len(BOUNDS) - 3)]
    for back, entity, webhooks in ((2, "product", 100), (2, "customer", 20), (1, "product", 50)):
        stored(
            engine, hour - timedelta(hours=back), entity, webhook_count=webhooks, succeeded_count=99, dead_count=1,
            latency=latency,
        )  # fmt: skip
    midnight = hour.replace(hour=0)
    for back in (10, 9):
        stored(engine, midnight - timedelta(days=back), "product", grain="day", webhook_count=7)
    items = pages.viewer.json(PAGE)["activity"]["items"]
    assert [(each["webhook_count"], each["success_rate"], each["p95_seconds"]) for each in items] == [
        (120, 0.99, 0.25),
        (50, 0.99, 0.25),
    ]
    of_customers = pages.viewer.json(PAGE, entity="customer")["activity"]["items"]
    assert [each["webhook_count"] for each in of_customers] == [20]
    by_day = pages.viewer.json(PAGE, days="30")["activity"]
    assert (by_day["grain"], [each["webhook_count"] for each in by_day["items"]]) == ("day", [7, 7])
    page = pages.viewer.get(PAGE).text
    assert page.count('<svg class="time"') == 4 and "<td>120</td>" in page, "a table stands beside each chart"
    assert pages.viewer.get(PAGE, format="csv").text.count("\n") == 3
    assert pages.viewer.json(PAGE, days="1000")["activity"]["problem"]["status"] == 422


def test_an_alert_that_fired_and_a_deployment_are_marks_on_the_axis(pages: Pages, engine: Engine) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for back in (3, 1):
        stored(engine, hour - timedelta(hours=back), "product", webhook_count=1, changed_count=1)
    plant(engine, "tds_alert_transitions", {
        "alert_id": 1, "rule": "queue_age", "subject": "", "episode": 1, "from_state": "pending",
        "to_state": "firing", "severity": "warning", "changed_by": "tds", "at": hour - timedelta(hours=2),
    })  # fmt: skip
    plant(engine, "tds_deployments", {
        "version": "<2.0>", "schema_revision": "0035", "began_at": hour - timedelta(minutes=90),
    })  # fmt: skip
    page = pages.viewer.get(PAGE).text
    assert 'class="mark warn"><title>queue_age</title>' in page
    assert 'class="mark deployed"><title>deployed: &lt;2.0&gt;</title>' in page


def test_freshness_is_drawn_of_what_was_longest_unread(pages: Pages, engine: Engine) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for entity, minutes in (("product", 200), ("customer", 230)):
        at = hour - timedelta(minutes=minutes)
        ended_at = at + timedelta(minutes=1)
        plant(engine, "tds_sync_runs", run(ended_at, entity=entity, requested_at=at, started_at=at))
    page = pages.viewer.get(PAGE, days="7").text
    assert "<title>Freshness: longest unread</title>" in page and "<td>230.0</td><td>customer</td>" in page
    assert "Freshness of product" in page and "Freshness of customer" in page


def test_the_figures_of_the_business_are_exact_and_lead_to_their_rows(pages: Pages, engine: Engine) -> None:
    records(engine, "product", {"name": "A", "sku": "1", "stock_on_hand": 3, "purchase_price": "12345678901234567.25"})
    page = pages.viewer.get(f"{PAGE}/items").text
    assert "37,037,036,703,703,701.75" in page
    assert 'href="/dashboard/entities/product"' in page
    assert pages.viewer.get(f"{PAGE}/nothing").status_code == 404


def test_the_scorecard_says_what_held_and_what_is_not_seen_yet(pages: Pages) -> None:
    page = pages.viewer.get("/dashboard/scorecard")
    assert page.status_code == 200
    lines = pages.viewer.json("/dashboard/scorecard")["lines"]
    assert {"success rate", "reconciliation", "uptime"} <= {line["name"] for line in lines}
    assert all(line["says"] in page.text for line in lines if "&" not in line["says"] and "'" not in line["says"])
