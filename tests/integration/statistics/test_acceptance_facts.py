"""The facts of the scorecard come from planted rows of seven days, and no further back."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tds_core.statistics.acceptance_facts import acceptance_facts, scorecard
from tds_core.statistics.acceptance_scorecard import AcceptanceFacts, Verdict
from tds_core.statistics.history import store_activity, uncounted_spans
from tds_core.statistics.local_time import hour_begins
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.planted_rows import action, attempt, comparison, dead_letter, event, plant

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def now(engine: Engine) -> datetime:
    with engine.connect() as connection:
        moment: datetime = connection.execute(text("select now()")).scalar_one()
    return moment


def facts(engine: Engine, zone: str = "Asia/Baghdad") -> AcceptanceFacts:
    with session_scope(engine) as session:
        return acceptance_facts(session, zone=zone)


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
        dead_letter(now - 40 * HOUR), dead_letter(now - 50 * HOUR, now),
        dead_letter(now - 30 * HOUR, assigned_to="ann"),
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


@pytest.mark.parametrize("zone", ["UTC", "Asia/Baghdad", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_success_and_latency_are_of_whole_days_hours_and_what_came_since(
    engine: Engine, now: datetime, zone: str
) -> None:
    moments = [now - MINUTE - number * timedelta(minutes=97) for number in range(130)]  # more than eight days
    early, late = moments[3:], moments[:3]
    plant(engine, "tds_sync_logs", *(attempt(at, "dead" if n % 9 == 0 else "updated") for n, at in enumerate(early)))
    plant(engine, "tds_inbox_events", *(event(at, after=0.2 if n % 10 else 90.0) for n, at in enumerate(early)))
    with session_scope(engine) as session:
        for since, until in uncounted_spans(session, now=now - 6 * HOUR, zone=zone):
            store_activity(session, since=since, until=until, zone=zone)
        for since, until in uncounted_spans(session, now=now - 4 * HOUR, zone=zone):
            store_activity(session, since=since, until=until, zone=zone)
    plant(engine, "tds_sync_logs", *(attempt(at, "updated") for at in late))
    found = facts(engine, zone)
    since = hour_begins(now - 7 * DAY, zone)
    ended = [n % 9 == 0 for n, at in enumerate(early) if at >= since] + [False] * len(late)
    slow = [n % 10 == 0 for n, at in enumerate(early) if at >= since]
    assert (found.succeeded_count, found.failed_count) == (ended.count(False), ended.count(True))
    assert (found.event_count, found.share_in_time) == (len(slow), slow.count(False) / len(slow))
    assert found.p95_seconds == 120.0
    assert found.seen_days > 7


def test_uptime_is_measured_since_the_first_sample(engine: Engine, now: datetime) -> None:
    samples = [now - 2 * HOUR + number * MINUTE for number in range(120) if not 30 <= number < 60]
    plant(engine, "tds_uptime_samples", *({"sampled_at": at, "is_up": True} for at in samples))
    found = facts(engine)
    assert found.sampled_days == pytest.approx(2 / 24, abs=0.001)
    assert found.down_seconds == pytest.approx(29.5 * 60, abs=5)
    assert "from 20" in str(found.longest_gap)


def reconciliation(engine: Engine) -> tuple[Verdict, str]:
    with session_scope(engine) as session:
        card = scorecard(session, zone="UTC")
    line = next(line for line in card.lines if line.name == "reconciliation")
    return line.verdict, line.says


def test_reconciliation_is_the_last_comparison_of_every_entity(engine: Engine, now: datetime) -> None:
    verdict, says = reconciliation(engine)
    assert (verdict, says) == (Verdict.NOT_PROVEN, "not proven yet: nothing was compared")
    comparison(engine, now - DAY, **dict.fromkeys(ENTITIES, 50))
    comparison(engine, now, **dict.fromkeys(ENTITIES, 100))
    assert reconciliation(engine)[0] is Verdict.PASS
    comparison(engine, now, bill="99.5")
    assert reconciliation(engine) == (Verdict.FAIL, "differ: bill 99.50 %")
