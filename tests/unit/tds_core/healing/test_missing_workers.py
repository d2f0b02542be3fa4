"""A worker is missing when it is gone, was not told to go, and none that began later took its place."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tds_core.healing.missing_workers import RecentWorker, missing_workers

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def worker(name: str, *, began: float, seen: float = 0, **more: Any) -> RecentWorker:
    """A worker that began, and was last seen, so many minutes ago; it lives when it was seen just now."""
    at = NOW - timedelta(minutes=seen)
    row: dict[str, Any] = {
        "name": name, "started_at": NOW - timedelta(minutes=began), "seen_at": at, "silent_seconds": seen * 60,
        "is_free": True, "is_living": seen == 0, "is_stopped": False, **more,
    }  # fmt: skip
    return RecentWorker(**row)  # type: ignore[typeddict-item]


def missing(*workers: RecentWorker) -> list[str]:
    return [each["name"] for each in missing_workers(workers)]


def test_one_that_died_beside_others_is_missing_for_as_long_as_it_is_gone() -> None:
    for minutes in (2, 20, 60 * 24 * 6):
        assert missing(worker("a", began=10**5), worker("b", began=10**5, seen=minutes)) == ["b"]


def test_one_that_was_just_seen_may_come_back() -> None:
    assert missing(worker("a", began=60), worker("b", began=60, seen=0.9)) == []


def test_one_that_was_told_to_stop_is_not_missed() -> None:
    assert missing(worker("a", began=60), worker("b", began=60, seen=30, is_stopped=True)) == []


def test_each_later_one_replaces_one() -> None:
    gone = [worker("b", began=60, seen=30), worker("c", began=60, seen=20)]
    assert missing(worker("a", began=60), *gone, worker("d", began=19)) == ["c"]
    assert missing(worker("a", began=60), *gone, worker("d", began=29)) == ["c"]
    assert missing(worker("a", began=60), *gone, worker("d", began=29), worker("e", began=19)) == []


def test_one_that_replaced_another_and_died_is_missed_once() -> None:
    chain = [worker("b", began=60, seen=30), worker("c", began=29, seen=10)]
    assert missing(worker("a", began=60), *chain) == ["c"]
    assert missing(worker("a", began=60), *chain, worker("d", began=9)) == []


def test_a_replacement_that_was_stopped_later_was_one() -> None:
    stopped = worker("c", began=29, seen=10, is_stopped=True)
    assert missing(worker("a", began=60), worker("b", began=60, seen=30), stopped) == []


def test_all_that_were_started_anew_may_be_fewer() -> None:
    before = [worker(name, began=600, seen=30) for name in "abcd"]
    assert missing(*before, worker("e", began=5)) == []


def test_all_that_are_gone_are_missing() -> None:
    assert missing(worker("a", began=60, seen=10), worker("b", began=60, seen=20)) == ["b", "a"]


def test_no_worker_is_none_missing() -> None:
    assert missing() == []
