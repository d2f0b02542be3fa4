"""The history of the work: hours of a week, days of more, of one entity or of all, as they were stored."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from tds_core.statistics.activity_history import activity_history
from tds_core.statistics.history import store_activity
from tds_core.statistics.local_time import InvalidSpanError, hour_begins
from tds_models.db import session_scope
from tests.support.planted_rows import attempt, event, plant

HOUR = timedelta(hours=1)


def test_it_holds_what_was_counted(engine: Engine) -> None:
    hour = hour_begins(datetime.now(UTC), "UTC") - 2 * HOUR
    plant(engine, "tds_inbox_events", event(hour), event(hour + HOUR, entity="customer"))
    plant(engine, "tds_sync_logs", attempt(hour, "updated"), attempt(hour, "updated"), attempt(hour, "dead"))
    with session_scope(engine) as session:
        store_activity(session, since=hour, until=hour + 2 * HOUR, zone="UTC")
        every = activity_history(session, days=7, zone="UTC")
        of_customers = activity_history(session, days=7, zone="UTC", entity="customer")
        by_day = activity_history(session, days=8, zone="UTC")
    assert [(each["began_at"], each["webhook_count"], each["success_rate"]) for each in every["items"]] == [
        (hour, 1, 2 / 3),
        (hour + HOUR, 1, None),
    ]
    assert [each["webhook_count"] for each in of_customers["items"]] == [0, 1]
    assert (by_day["grain"], sum(each["webhook_count"] for each in by_day["items"])) == ("day", 2)


def test_a_span_no_history_has_is_refused(engine: Engine) -> None:
    with session_scope(engine) as session, pytest.raises(InvalidSpanError, match="1 to 366"):
        activity_history(session, days=367, zone="UTC")
