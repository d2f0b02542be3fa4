"""The facts of the scorecard come from planted rows of seven days, and no further back."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tds_core.statistics.acceptance import AcceptanceFacts, Verdict
from tds_core.statistics.acceptance_facts import acceptance_facts, scorecard
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.planted_rows import action, attempt, dead_letter, event, plant

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def now(engine: Engine) -> datetime:
    with engine.connect() as connection:
        moment: datetime = connection.execute(text("select now()")).scalar_one()
    return moment


def facts(engine: Engine) -> AcceptanceFacts:
    with session_scope(engine) as session:
        return acceptance_facts(session, zone="Asia/Baghdad")


def test_a_new_installation_has_seen_nothing(engine: Engine) -> None:
    found = facts(engine)
    assert (found.seen_days, found.sampled_days, found.uptime_share) == (0.0, 0.0, None)
    assert (found.success_rate, found.share_in_time, found.most_dead_letters) == (None, None, 0)
    assert [each.match_percent for each in found.compared] == [None] * len(ENTITIES)


def test_dead_letters_are_counted_by_how_many_were_open_at_once(engine: Engine, now: datetime) -> None:
    plant(
        engine, "tds_dead_letter_queue",
        dead_letter(now - 30 * DAY, now - 8 * DAY), dead_letter(now - 30 * DAY, now - 8 * DAY),  # before
        dead_letter(now - 10 * DAY, now - 6 * DAY),  # open when the span began
        dead_letter(now - 6 * DAY, now - 5 * DAY),  # one goes as the other comes
        dead_letter(now - 4 * DAY, now - 2 * DAY), dead_letter(now - 3 * DAY, now - 1 * DAY), dead_letter(now - HOUR),
    )  # fmt: skip
    found = facts(engine)
    assert (found.most_dead_letters, found.open_dead_letters, found.undecided_count) == (2, 1, 0)


def test_a_letter_waits_for_a_decision_until_it_is_retried_or_resolved(engine: Engine, now: datetime) -> None:
    plant(
        engine, "tds_dead_letter_queue", dead_letter(now - 25 * HOUR), dead_letter(now - 23 * HOUR),
        dead_letter(now - 40 * HOUR), dead_letter(now - 50 * HOUR, now), dead_letter(now - 30 * HOUR, assigned_to="ann"),
    )  # fmt: skip
    retry = {"letter_id": 3, "requested_by": "ann", "died_of": "x"}
    plant(engine, "tds_dead_letter_revivals", retry)
    found = facts(engine)
    assert (found.undecided_count, found.oldest_undecided_at) == (2, now - 30 * HOUR)


def test_only_what_people_repaired_is_an_intervention(engine: Engine, now: datetime) -> None:
    plant(
        engine, "tds_operator_actions", action(now - 8 * DAY, "syncs.repair"), action(now, "session.log_in"),
        action(now, "keys.create"), action(now, "syncs.repair", outcome="refused"),
    )  # fmt: skip
    assert facts(engine).intervention_count == 0
    plant(
        engine, "tds_operator_actions", action(now - 6 * DAY, "cli.repair"),
        action(now - HOUR, "dead_letters.retry", outcome="begun", subject="dead-letter/7/retry"),
    )  # fmt: skip
    begun = now - HOUR
    plant(engine, "tds_operator_actions", {**action(now - HOUR + MINUTE, "dead_letters.retry"), "begun_id": 6})
    found = facts(engine)
    assert found.intervention_count == 2  # a beginning and its end are one
    assert f"dead_letters.retry x by ann at {begun + MINUTE:%Y-%m-%d}" in str(found.last_intervention)


def test_success_and_latency_are_of_stored_hours_and_what_came_since(engine: Engine, now: datetime) -> None:
    counts = {"succeeded_count": 990, "dead_count": 8, "latency": [0] * 13 + [10, 0], **dict.fromkeys((
        "webhook_count", "quarantined_count", "retried_count", "crashed_count", "snoozed_count", "changed_count",
        "listed_count", "run_count", "failed_run_count", "rejected_count", "unstored_count", "up_seconds"), 0)}  # fmt: skip
    with session_scope(engine) as session:
        for ago in (9 * DAY, 3 * DAY, HOUR):
            for entity in ("product", "installation"):
                session.execute(
                    text("insert into tds_statistics_history (entity, grain, began_at, activity) values"
                         " (:entity, 'hour', date_trunc('hour', cast(:at as timestamptz)), cast(:activity as jsonb))"),
                    {"entity": entity, "at": now - ago, "activity": str(counts).replace("'", '"')
                     if entity == "product" else str({**counts, "succeeded_count": 0, "dead_count": 0,
                                                      "latency": [0] * 15}).replace("'", '"')},
                )  # fmt: skip
    plant(engine, "tds_sync_logs", attempt(now - timedelta(seconds=1), "dead"), attempt(now - 2 * DAY, "dead"))
    plant(engine, "tds_inbox_events", *(event(now - timedelta(seconds=1)) for _ in range(380)))
    found = facts(engine)
    at_the_hour = now.replace(minute=0, second=0, microsecond=0) > now - timedelta(seconds=1)
    if not at_the_hour:  # what was planted a second ago is in the hour that is not stored yet
        assert (found.succeeded_count, found.failed_count, found.event_count) == (1980, 17, 400)
        assert (found.share_in_time, found.p95_seconds) == (0.95, 0.5)


def test_uptime_is_measured_since_the_first_sample(engine: Engine, now: datetime) -> None:
    samples = [now - 2 * HOUR + number * MINUTE for number in range(120) if not 30 <= number < 60]
    plant(engine, "tds_uptime_samples", *({"sampled_at": at, "is_up": True} for at in samples))
    found = facts(engine)
    assert found.sampled_days == pytest.approx(2 / 24, abs=0.001)
    assert found.down_seconds == pytest.approx(29.5 * 60, abs=5)
    assert "from 20" in str(found.longest_gap)


def compared(engine: Engine, **percents: Any) -> None:
    """Put the table of comparison reports in place of any other, with one report for each entity."""
    with engine.begin() as connection:
        connection.execute(text("drop table if exists tds_comparison_reports cascade"))
        connection.execute(text(
            "create table tds_comparison_reports (comparison_id bigint, entity text, there_count int, here_count int,"
            " match_percent numeric(7,4), score numeric(5,2), agreement text, reason text, ended_at timestamptz)"
        ))  # fmt: skip
        for entity in ENTITIES:
            connection.execute(
                text("insert into tds_comparison_reports values (1, :entity, 3, 3, :percent, 100, 'equal', null, now()),"
                     " (0, :entity, 3, 3, 50, 100, 'differs', null, now() - interval '1 day')"),
                {"entity": entity, "percent": percents.get(entity, 100)},
            )  # fmt: skip


def reconciliation(engine: Engine) -> tuple[Verdict, str]:
    with session_scope(engine) as session:
        card = scorecard(session, zone="UTC")
    line = next(line for line in card.lines if line.name == "reconciliation")
    return line.verdict, line.says


def test_reconciliation_is_the_last_comparison_of_every_entity(engine: Engine) -> None:
    verdict, says = reconciliation(engine)
    assert (verdict, says) == (Verdict.NOT_PROVEN, "not proven yet: nothing was compared")
    compared(engine)
    assert reconciliation(engine)[0] is Verdict.PASS
    compared(engine, bill="99.5")
    assert reconciliation(engine) == (Verdict.FAIL, "differ: bill 99.50 %")
