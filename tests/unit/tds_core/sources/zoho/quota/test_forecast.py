"""The forecast promises: it goes on as it does now, then as it did on other days, and each class stops at its share."""

from datetime import UTC, datetime, timedelta

import pytest

from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.forecast import forecast_backlog, forecast_day, rhythm
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.quota.usage_snapshot import Counts, DayUsage, LimitUsage, Usage

LIVE, OPERATOR, SCHEDULED, BACKFILL, COMPARISON = Traffic
LIMITS = Limits(calls_per_minute=100, calls_per_day={"books": 1000}, reserved={LIVE: 0.1, SCHEDULED: 0.2})
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE, HOUR = int(NOON.timestamp() // 60), int(NOON.timestamp() // 3600)


def level(used: int, limit: int) -> LimitUsage:
    ceilings = {each: LIMITS.ceiling(limit, each) for each in Traffic}
    return LimitUsage(used=used, limit=limit, ceilings=ceilings)


def day(used: int, minutes: Counts, hours: Counts | None = None, limit: int = 1000) -> DayUsage:
    return DayUsage(
        api="books", level=level(used, limit), by_class={}, told_limit=None, resets_at=NOON + timedelta(hours=12),
        reset_told=False, spent_until=None, minutes=minutes, hours=hours or {},
    )  # fmt: skip


def every_minute(**calls: int) -> Counts:
    return {MINUTE - n: calls for n in range(1, 31)}


def minutes_to(moment: datetime) -> float:
    return (moment - NOON).total_seconds() / 60


def test_a_steady_rhythm_ends_when_the_rest_divided_by_it_says() -> None:
    found = forecast_day(day(400, every_minute(live=2)), LIMITS, NOON)
    assert found.calls_per_hour == {"live": pytest.approx(120, rel=0.1)}
    assert minutes_to(found.runs_out_at[LIVE]) == pytest.approx(300, rel=0.1)


def test_a_class_that_used_its_share_leaves_the_rest_to_the_others() -> None:
    found = forecast_day(day(500, every_minute(live=1, backfill=9)), LIMITS, NOON)
    assert minutes_to(found.runs_out_at[BACKFILL]) == pytest.approx(20, rel=0.1)
    assert minutes_to(found.runs_out_at[LIVE]) == pytest.approx(20 + 300, rel=0.1)


def test_calls_of_others_count_and_never_stop() -> None:
    found = forecast_day(day(900, every_minute(others=10)), LIMITS, NOON)
    assert minutes_to(found.runs_out_at[LIVE]) == pytest.approx(10, rel=0.1)
    assert found.used_at_reset > 5000


def test_what_lasts_until_the_reset_does_not_run_out() -> None:
    found = forecast_day(day(10, every_minute(live=1)), LIMITS, NOON)
    assert found.runs_out_at.keys() == {BACKFILL, COMPARISON}
    assert found.used_at_reset == pytest.approx(730, rel=0.1)
    assert forecast_day(day(10, {}), LIMITS, NOON).runs_out_at == {}


def test_the_first_minutes_of_all_are_not_diluted_by_those_nobody_counted() -> None:
    found = rhythm(day(40, {MINUTE - 1: {"live": 20}, MINUTE - 2: {"live": 20}}), LIMITS, NOON.timestamp())
    assert found.present == {"live": pytest.approx(20 / 60)}


def test_a_burst_after_hours_of_silence_is_taken_for_what_it_is() -> None:
    found = rhythm(day(30, {MINUTE - 1: {"live": 30}}, {HOUR - 9: {"live": 1}}), LIMITS, NOON.timestamp())
    assert found.present["live"] == pytest.approx(30 / (14 * 60))


def test_later_hours_go_on_as_on_other_days() -> None:
    quiet = {HOUR - 24 * n + hour: {"live": 0} for n in (1, 2) for hour in range(24)}
    nightly = {HOUR - 24 * n + 6: {"scheduled": 300 + 100 * n} for n in (1, 2)}
    found = forecast_day(day(100, every_minute(live=1), {**quiet, **nightly}), LIMITS, NOON)
    assert found.used_at_reset == pytest.approx(100 + 60 + 450, rel=0.02)


def test_without_a_limit_nothing_runs_out() -> None:
    assert forecast_day(day(500, every_minute(live=50), limit=0), LIMITS, NOON).runs_out_at == {}


def usage(books: DayUsage) -> Usage:
    return Usage(at=NOON, minute=level(0, 100), concurrent=level(0, 10), days={"books": books})


def test_a_small_backlog_ends_today_at_the_minutes_pace() -> None:
    found = forecast_backlog(usage(day(0, {})), LIMITS, "books", 140)
    assert found.ends_at == NOON + timedelta(minutes=2)


def test_a_large_backlog_ends_on_the_day_its_share_of_all_days_before_says() -> None:
    found = forecast_backlog(usage(day(600, {})), LIMITS, "books", 100 + 3 * 700 + 70)
    assert found.calls_per_day == 700
    assert found.ends_at is not None
    assert found.ends_at.date() == (NOON + timedelta(hours=12, days=3)).date()


def test_a_backlog_that_gets_no_call_has_no_end() -> None:
    found = forecast_backlog(usage(day(700, every_minute(others=80))), LIMITS, "books", 10)
    assert (found.calls_per_day, found.ends_at) == (0, None)


def test_what_others_take_before_back_fill_has_its_share_comes_off_it() -> None:
    found = forecast_backlog(usage(day(0, every_minute(live=35))), LIMITS, "books", 350)
    assert found.calls_per_day == pytest.approx(350, abs=35)
    assert found.ends_at is not None
    assert minutes_to(found.ends_at) == pytest.approx(10, abs=1)


def test_what_others_take_later_comes_off_their_own_share() -> None:
    hours = {HOUR - 24 + n: {"live": 10} for n in range(24)}
    found = forecast_backlog(usage(day(600, every_minute(live=5), hours)), LIMITS, "books", 1000)
    assert found.calls_per_day == pytest.approx(700, abs=3)


def test_the_first_pass_over_all_lists_is_not_taken_for_what_every_hour_brings() -> None:
    burst = {MINUTE - 1: {"scheduled": 60}, MINUTE - 2: {"scheduled": 40}}
    busy = day(100, burst, {HOUR: {"scheduled": 100}}, limit=2000)
    found = forecast_backlog(usage(busy), LIMITS, "books", 3000)
    assert found.calls_per_day == pytest.approx(1400, abs=5)
    assert forecast_day(busy, LIMITS, NOON + timedelta(hours=2)).used_at_reset < 300


@pytest.mark.parametrize("speed", [7, 1_800, 5_000, 9_999])
def test_hours_that_are_no_whole_seconds_come_to_an_end(speed: int) -> None:
    fast = Limits(calls_per_minute=100, minute_seconds=60 / speed, day_seconds=86_400 / speed)
    now = NOON.timestamp()
    found = rhythm(day(0, {}), fast, now)
    moment, count = now, 0
    while moment < now + fast.day_seconds:
        moment, count = found.lasts_until(moment, now), count + 1
    assert count <= 26


def test_a_backlog_of_whole_days_ends_within_the_last_of_them() -> None:
    found = forecast_backlog(usage(day(700, {})), LIMITS, "books", 700)
    assert found.ends_at == NOON + timedelta(hours=12, minutes=10)


def test_no_backlog_has_ended() -> None:
    assert forecast_backlog(usage(day(1000, {})), LIMITS, "books", 0).ends_at == NOON
