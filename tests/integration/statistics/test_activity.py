"""What happened in an hour is counted from planted events, attempts, changes, runs and refusals, each to its hour."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from tds_core.statistics.activity import INSTALLATION, count_hours, count_span
from tds_core.statistics.sync_performance import latency_figures, success_rate
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.planted_rows import attempt, event, plant, run

NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def counted(engine: Engine, hours: int = 2):
    with session_scope(engine) as session:
        return count_hours(session, since=NINE, until=NINE + hours * HOUR)


def test_hours_in_which_nothing_happened_are_there_with_every_entity(engine: Engine) -> None:
    found = counted(engine, 3)
    assert list(found) == [NINE, NINE + HOUR, NINE + 2 * HOUR]
    assert all(set(hour) == {*ENTITIES, INSTALLATION} for hour in found.values())
    assert {
        value for hour in found.values() for each in hour.values() for value in (*each["latency"], each["dead_count"])
    } == {0}


def test_an_event_belongs_to_the_hour_it_came_in_to_the_last_moment(engine: Engine) -> None:
    plant(
        engine, "tds_inbox_events", event(NINE - SECOND), event(NINE), event(NINE + HOUR - timedelta(microseconds=1)),
        event(NINE + HOUR), event(NINE + 2 * HOUR),
    )  # fmt: skip
    found = counted(engine)
    assert [hour["product"]["webhook_count"] for hour in found.values()] == [2, 1]


def test_attempts_are_told_apart_by_how_they_ended(engine: Engine) -> None:
    outcomes = ["created", "updated", "unchanged", "stale", "deleted", "retry", "retry", "snooze", "dead", "crashed"]
    plant(engine, "tds_sync_logs", *(attempt(NINE, outcome) for outcome in outcomes))
    plant(engine, "tds_inbox_events", event(NINE, verdict="quarantined"))
    activity = counted(engine)[NINE]["product"]
    assert (activity["succeeded_count"], activity["retried_count"], activity["snoozed_count"]) == (5, 2, 1)
    assert (activity["dead_count"], activity["crashed_count"], activity["quarantined_count"]) == (1, 1, 1)
    rate = success_rate("1h", NINE, NINE, activity)
    assert (rate["failed_count"], rate["success_rate"]) == (2, 5 / 7)
    assert (rate["attempt_count"], rate["attempt_success_rate"]) == (9, 5 / 9)


def test_where_nothing_ended_there_is_no_success_rate(engine: Engine) -> None:
    rate = success_rate("1h", NINE, NINE, counted(engine)[NINE]["product"])
    assert (rate["success_rate"], rate["attempt_success_rate"]) == (None, None)


def test_latency_is_from_receipt_to_verdict_and_what_never_came_through_counts_as_slowest(engine: Engine) -> None:
    plant(
        engine, "tds_inbox_events", *(event(NINE, after=0.2) for _ in range(90)), event(NINE, after=59.9),
        event(NINE, after=60.0), event(NINE, verdict=None), event(NINE, verdict="dead_lettered", after=1.0),
        event(NINE, verdict="quarantined", after=0.0), event(NINE, verdict="stale", after=20.0),
    )  # fmt: skip
    found = latency_figures("24h", [counted(engine)[NINE]["product"]])
    assert (found["event_count"], found["share_below_60_seconds"]) == (95, 92 / 95)
    assert (found["p50_seconds"], found["p95_seconds"], found["p99_seconds"]) == (0.25, 30.0, None)


def test_changes_passes_and_refusals_are_counted(engine: Engine) -> None:
    change = {"source": "zoho", "entity": "product", "source_id": "1", "operation": "updated", "changes": "{}",
              "origin": "webhook", "correlation_id": "c", "recorded_at": NINE}  # fmt: skip
    plant(engine, "tds_audit_trail", {**change, "version": 1}, {**change, "version": 2})
    plant(
        engine, "tds_sync_runs", run(NINE, fetched_count=40), run(NINE, state="failed", fetched_count=7),
        run(NINE, mode="targeted", fetched_count=3), run(NINE, mode="dry_run", fetched_count=3),
    )  # fmt: skip
    refused = {"received_at": NINE, "reason": "x", "detail": "x", "status": 401, "path": "/", "headers": "{}",
               "body_start": b"", "body_size": 0, "correlation_id": "c"}  # fmt: skip
    plant(engine, "tds_rejected_deliveries", refused, refused)
    plant(engine, "tds_unstored_webhooks", {"minute": NINE, "reason": "away", "webhook_count": 4, "first_at": NINE,
                                            "last_at": NINE})  # fmt: skip
    plant(engine, "tds_inbox_events", event(NINE, verdict="quarantined", entity=None))
    hour = counted(engine)[NINE]
    product, whole = hour["product"], hour[INSTALLATION]
    assert (product["changed_count"], product["listed_count"]) == (2, 40)
    assert (product["run_count"], product["failed_run_count"]) == (2, 1)
    assert (whole["rejected_count"], whole["unstored_count"], whole["quarantined_count"]) == (2, 4, 1)


def test_a_span_is_the_sum_of_its_hours_and_what_is_left_over(engine: Engine) -> None:
    plant(engine, "tds_inbox_events", *(event(NINE + minutes * timedelta(minutes=30)) for minutes in range(4)))
    with session_scope(engine) as session:
        found = count_span(session, since=NINE, until=NINE + timedelta(minutes=75))
        nothing = count_span(session, since=NINE, until=NINE)
    assert (found["product"]["webhook_count"], nothing["product"]["webhook_count"]) == (3, 0)
