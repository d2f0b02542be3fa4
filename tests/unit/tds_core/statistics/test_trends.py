"""A trend says where a figure goes, by how much, and against which day; without figures of that day it is unknown."""

from datetime import date
from decimal import Decimal

import pytest

from tds_core.statistics.entity_figures import breakdowns_of, figures_of
from tds_core.statistics.trends import Direction, trend, trends

DAY = date(2026, 11, 22)


@pytest.mark.parametrize(("then", "now", "change", "percent", "direction"), [
    (100, 110, 10, "10.00", Direction.UP),
    (110, 100, -10, "-9.09", Direction.DOWN),
    (5, 5, 0, "0.00", Direction.STEADY),
    (0, 7, 7, None, Direction.UP),
    (0, 0, 0, None, Direction.STEADY),
    (-10, -5, 5, "50.00", Direction.UP),
    ("0.1", "0.3", "0.2", "200.00", Direction.UP),
])  # fmt: skip
def test_direction_and_size(then: str, now: str, change: str, percent: str | None, direction: Direction) -> None:
    found = trend("x", days=7, from_day=DAY, then=Decimal(then), now=Decimal(now))
    assert (found["change"], found["direction"], found["reason"]) == (Decimal(change), direction, None)
    assert found["change_percent"] == (None if percent is None else Decimal(percent))


def test_a_day_without_figures_is_named() -> None:
    found = trend("x", days=7, from_day=DAY, then=None, now=Decimal(1))
    assert (found["direction"], found["change"]) == (Direction.UNKNOWN, None)
    assert found["reason"] == "nothing was stored on 2026-11-22"


def of_customers(now: dict, then: dict | None) -> dict[tuple[str, str | None], Decimal | None]:
    shape = [(figure.name, figure.kind) for figure in figures_of("customer")]
    found = trends(shape, breakdowns_of("customer"), now=now, earlier={7: (DAY, then)})
    return {(each["figure"], each["currency"]): each["change"] for each in found}


def test_currencies_are_compared_each_with_itself() -> None:
    now = {"live_count": 5, "outstanding": [{"currency": "IQD", "outstanding": "1500", "unused_credits": "0"}]}
    earlier = [
        {"currency": "IQD", "outstanding": "1000", "unused_credits": "5"},
        {"currency": "USD", "outstanding": "20.50", "unused_credits": "0"},
    ]
    then = {"live_count": 3, "outstanding": earlier}
    changes = of_customers(now, then)
    assert changes["live_count", None] == 2
    assert changes["outstanding", "IQD"] == 500
    assert changes["outstanding", "USD"] == Decimal("-20.50")
    assert changes["unused_credits", "IQD"] == -5
    assert ("outstanding", None) not in changes
    assert of_customers(now, None)["outstanding", "IQD"] is None


def test_moments_have_no_trend() -> None:
    assert not any(name.endswith("_at") for name, _ in of_customers({"live_count": 1, "outstanding": []}, None))
