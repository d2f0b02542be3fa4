"""Days and hours of the installation's time zone, also where clocks change and zones are half an hour off."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tds_core.statistics.local_time import day_bounds, hour_begins, local_day


@pytest.mark.parametrize(("zone", "day", "hours"), [
    ("Asia/Baghdad", date(2026, 10, 25), 24),
    ("Europe/Berlin", date(2026, 10, 25), 25),
    ("Europe/Berlin", date(2026, 3, 29), 23),
    ("America/New_York", date(2026, 11, 1), 25),
    ("Asia/Kolkata", date(2026, 11, 1), 24),
])  # fmt: skip
def test_a_day_is_as_long_as_its_clocks_say(zone: str, day: date, hours: int) -> None:
    begin, end = day_bounds(day, zone)
    assert end - begin == timedelta(hours=hours)
    assert (local_day(begin, zone), local_day(end - timedelta(microseconds=1), zone)) == (day, day)
    assert day_bounds(day + timedelta(days=1), zone)[0] == end


def test_every_hour_of_a_day_of_25_is_an_hour_of_its_own() -> None:
    begin, end = day_bounds(date(2026, 10, 25), "Europe/Berlin")
    halves = [begin + timedelta(minutes=30 + 60 * number) for number in range(25)]
    hours = [hour_begins(half, "Europe/Berlin") for half in halves]
    assert hours == [begin + timedelta(hours=number) for number in range(25)]
    assert hour_begins(end, "Europe/Berlin") == end


def test_hours_begin_where_the_clocks_on_the_wall_say() -> None:
    moment = datetime(2026, 11, 29, 12, 10, tzinfo=UTC)
    assert hour_begins(moment, "Asia/Kolkata") == datetime(2026, 11, 29, 11, 30, tzinfo=UTC)
    assert hour_begins(moment, "Asia/Baghdad") == datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert local_day(datetime(2026, 11, 29, 21, 30, tzinfo=UTC), "Asia/Baghdad") == date(2026, 11, 30)
