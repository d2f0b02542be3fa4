"""A batch takes as long as the slowest of its bounds: its throttle, the minute's calls, the day's."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tds_core.dead_letters.preview import seconds_for
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.usage_snapshot import DayUsage, LimitUsage, Usage

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FREE = LimitUsage(used=0, limit=0, ceilings={})


def level(ceiling: int, used: int = 0) -> LimitUsage:
    return LimitUsage(used=used, limit=max(1, ceiling), ceilings={Traffic.OPERATOR: ceiling})


def usage(minute: LimitUsage = FREE, day: LimitUsage = FREE) -> Usage:
    today = DayUsage(
        api="books", level=day, by_class={}, told_limit=None, resets_at=NOW + timedelta(hours=6), reset_told=True,
        spent_until=None, minutes={}, hours={},
    )  # fmt: skip
    return Usage(at=NOW, minute=minute, concurrent=FREE, days={"books": today})


def seconds(calls: Mapping[str, int], found: Usage | None, **more: Any) -> float | None:
    return seconds_for(calls, **{"letter_count": 60, "per_minute": 60, "usage": found, **more})


def test_the_throttle_bounds_when_calls_are_plenty_or_unknown() -> None:
    assert seconds({"books": 60}, None) == 60
    assert seconds({"books": 60}, usage(level(90), level(9000))) == 60


def test_the_minute_bounds_a_faster_throttle() -> None:
    assert seconds({"books": 60}, usage(level(30)), per_minute=600) == 120


def test_what_today_has_no_calls_for_waits_for_the_days_that_have() -> None:
    six_hours = 6 * 3600
    assert seconds({"books": 60}, usage(day=level(100, used=50))) == six_hours
    assert seconds({"books": 260}, usage(day=level(100, used=100))) == six_hours + 2 * 86_400


def test_a_class_without_calls_never_comes_to_an_end() -> None:
    assert seconds({"books": 1}, usage(day=level(0))) is None
    assert seconds({"books": 1}, usage(minute=level(0))) is None
