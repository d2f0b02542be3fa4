"""Freshness: for how long changes may have been unknown, now and at the end of each hour."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_core.statistics.freshness import freshness_history, freshness_seconds
from tds_core.statistics.local_time import InvalidSpanError, hour_begins
from tds_models.db import session_scope
from tests.support.planted_rows import plant, run

HOUR = timedelta(hours=1)


def ended_pass(engine: Engine, entity: str, started_at: datetime, **more: Any) -> None:
    ended_at = started_at + timedelta(minutes=1)
    plant(engine, "tds_sync_runs", run(ended_at, entity=entity, requested_at=started_at, started_at=started_at, **more))


def test_each_hour_has_the_age_of_the_last_pass_that_had_ended_by_then(engine: Engine) -> None:
    hour = hour_begins(datetime.now(UTC), "UTC")
    ended_pass(engine, "product", hour - 3 * HOUR)
    ended_pass(engine, "product", hour - HOUR - timedelta(minutes=10))
    ended_pass(engine, "product", hour - timedelta(minutes=5), state="failed")
    ended_pass(engine, "customer", hour - timedelta(minutes=30))
    with session_scope(engine) as session:
        every = freshness_history(session, days=2, zone="UTC")
        of_product = freshness_history(session, days=2, zone="UTC", entity="product")
        now = freshness_seconds(session)
    assert [each["entity"] for each in every["entities"]] == ["customer", "product"]
    assert of_product["entities"] == every["entities"][1:]
    points = {each["ended_at"]: each["freshness_seconds"] for each in of_product["entities"][0]["points"]}
    assert points == {hour - 2 * HOUR: 3600.0, hour - HOUR: 600.0, hour: 4200.0}
    assert set(now) == {"product", "customer"} and now["product"] >= 4200.0


def test_a_span_no_history_has_is_refused(engine: Engine) -> None:
    with session_scope(engine) as session, pytest.raises(InvalidSpanError, match="1 to 366"):
        freshness_history(session, days=0, zone="UTC")
