"""What is open is read before what is closed, and what is new before what is old."""

from datetime import UTC, datetime, timedelta

import pytest

from tds_core.sync.partial_rows import backfill_rank
from tds_models.entities import ENTITIES

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def rank_of(status: str, days: float | None) -> int:
    modified_at = None if days is None else NOW - timedelta(days=days)
    return backfill_rank(ENTITIES["invoice"], status=status, modified_at=modified_at, read_at=NOW)


def test_open_before_closed_and_new_before_old() -> None:
    wanted = [
        ("sent", 0),
        ("overdue", 3),
        ("sent", 40),
        ("sent", 50),
        ("draft", 5000),
        ("paid", 0),
        ("void", 30),
        ("paid", 400),
        ("void", 407),
    ]
    ranks = [rank_of(status, days) for status, days in wanted]
    assert ranks == sorted(set(ranks))
    assert min(ranks) >= 1  # behind everything that changed


@pytest.mark.parametrize("days", [None, -1, 0])
def test_a_time_that_is_missing_or_ahead_counts_as_new(days: float | None) -> None:
    assert rank_of("sent", days) == 1
