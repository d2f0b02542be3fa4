"""Slots: which one is due, told from a rhythm and two times alone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.errors import ConfigError
from tds_core.schedule.slots import due_slot, in_zone, latest_slot, next_slot


def on(hour: int, minute: int = 0, second: int = 0, day: int = 22) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def test_nothing_is_due_between_slots() -> None:
    assert due_slot("0 * * * *", last=on(5), now=on(5, 59, 59)) is None


def test_a_slot_is_due_from_its_very_second() -> None:
    due = due_slot("0 * * * *", last=on(5), now=on(6))
    assert due is not None
    assert (due.slot_at, due.missed) == (on(6), False)


def test_many_missed_slots_are_one_that_is_due() -> None:
    due = due_slot("*/15 * * * *", last=on(1), now=on(9, 7))
    assert due is not None
    assert (due.slot_at, due.missed) == (on(9), True)


def test_a_new_job_waits_for_its_first_slot() -> None:
    assert due_slot("0 2 * * *", last=on(3), now=on(23)) is None


def test_a_slot_older_than_a_week_is_not_caught_up() -> None:
    assert due_slot("0 2 1 * *", last=on(3, day=1) - timedelta(days=90), now=on(5)) is None


@given(st.integers(1, 86_400), st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1)))
def test_an_even_rhythm_has_one_slot_in_each_span(seconds: int, now: datetime) -> None:
    rhythm = f"every:{seconds}"
    latest, following = latest_slot(rhythm, now), next_slot(rhythm, now)
    assert latest is not None
    assert latest <= now < following
    assert following - latest == timedelta(seconds=seconds)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1)))
def test_the_latest_slot_is_the_one_before_the_next(now: datetime) -> None:
    for rhythm in ("*/15 * * * *", "0 2 * * *", "30 3 * * 1"):
        latest = latest_slot(rhythm, now)
        assert latest is not None
        assert latest <= now < next_slot(rhythm, now)
        assert next_slot(rhythm, latest) == next_slot(rhythm, now)


@pytest.mark.parametrize("rhythm", ["", "often", "61 * * * *", "every:", "every:0", "every:-5", "every:1.5", "* * *"])
def test_a_rhythm_nobody_understands_says_how_to_write_one(rhythm: str) -> None:
    for ask in (latest_slot, next_slot):
        with pytest.raises(ConfigError, match="every:SECONDS"):
            ask(rhythm, on(5))


BERLIN = ZoneInfo("Europe/Berlin")
#: Two o'clock comes twice on one of these days, and never on the other.
CHANGES_OF_CLOCK = (datetime(2026, 10, 20, tzinfo=BERLIN), datetime(2026, 3, 25, tzinfo=BERLIN))


@pytest.mark.parametrize("start", CHANGES_OF_CLOCK)
@pytest.mark.parametrize("rhythm", ["0 2 * * *", "30 2 * * *", "0 3 * * *"])
def test_a_change_of_clocks_neither_skips_nor_doubles_a_slot(start: datetime, rhythm: str) -> None:
    slots, now = [], start
    for _ in range(10 * 24 * 4):
        now += timedelta(minutes=15)
        due = due_slot(f"{rhythm} Europe/Berlin", last=slots[-1] if slots else start, now=now.astimezone(UTC))
        if due:
            assert not due.missed
            slots.append(due.slot_at)
    assert [slot.astimezone(BERLIN).day for slot in slots] == [(start + timedelta(days=n)).day for n in range(10)]
    assert slots == sorted(set(slots))
    assert all(slot.tzinfo is UTC for slot in slots)


def test_a_zone_moves_the_slot() -> None:
    assert next_slot("0 3 * * * Asia/Baghdad", datetime(2026, 11, 1, 12, tzinfo=UTC)) == datetime(
        2026, 11, 2, 0, tzinfo=UTC
    )
    with pytest.raises(ConfigError, match="there is no time zone 'Mars/Olympus'"):
        next_slot("0 3 * * * Mars/Olympus", datetime(2026, 11, 1, 12, tzinfo=UTC))


def test_the_word_local_is_the_installation_s_zone() -> None:
    assert in_zone("0 2 * * * local", "Asia/Baghdad") == "0 2 * * * Asia/Baghdad"
    assert in_zone("0 2 * * * local", "UTC") == "0 2 * * *"
    for other in ("0 2 * * *", "every:60", "0 2 * * * Europe/Berlin"):
        assert in_zone(other, "Asia/Baghdad") == other
