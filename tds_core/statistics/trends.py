"""Trends: how a figure changed over some days, its direction and size. It reads no clock and no table."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypedDict

from tds_core.statistics.entity_figures import Breakdown, FigureKind

DAYS = (7, 30)
_HUNDREDTH = Decimal("0.01")


class Direction(StrEnum):
    """Where a figure goes."""

    UP = "up"
    DOWN = "down"
    STEADY = "steady"
    UNKNOWN = "unknown"


class Trend(TypedDict):
    """How one figure changed. `currency`: of amounts by currency, else None. `from_day`: the day compared with.

    `change_percent` is None where the figure was 0 then; everything but `now` is None where that day has no figures,
    and `reason` says so.
    """

    figure: str
    currency: str | None
    days: int
    from_day: date
    then: Decimal | None
    now: Decimal | None
    change: Decimal | None
    change_percent: Decimal | None
    direction: Direction
    reason: str | None


def trend(
    figure: str, *, days: int, from_day: date, then: Decimal | None, now: Decimal | None, currency: str | None = None
) -> Trend:
    """Compare a figure with what it was at the end of `from_day`."""
    change = None if then is None or now is None else now - then
    percent = (change / abs(then) * 100).quantize(_HUNDREDTH) if change is not None and then else None
    return Trend(
        figure=figure, currency=currency, days=days, from_day=from_day, then=then, now=now, change=change,
        change_percent=percent, direction=_direction(change),
        reason=f"nothing was stored on {from_day}" if then is None else None if now is not None else "not measured now",
    )  # fmt: skip


def _direction(change: Decimal | None) -> Direction:
    if change is None:
        return Direction.UNKNOWN
    return Direction.UP if change > 0 else Direction.DOWN if change < 0 else Direction.STEADY


def trends(
    shape: Sequence[tuple[str, FigureKind]],
    breakdowns: Sequence[Breakdown],
    *,
    now: Mapping[str, Any] | None,
    earlier: Mapping[int, tuple[date, Mapping[str, Any] | None]],
) -> list[Trend]:
    """The trends of every count and amount of an entity. `earlier`: by number of days, the day and its figures.

    A currency that only one side has counts as 0 on the other, if that side was measured at all.
    """
    found = []
    for days, (from_day, then) in earlier.items():
        for name, kind in shape:
            if kind in (FigureKind.COUNT, FigureKind.AMOUNT):
                values = _number(then, name), _number(now, name)
                found.append(trend(name, days=days, from_day=from_day, then=values[0], now=values[1]))
        for breakdown in breakdowns:
            found += list(_by_currency(breakdown, days, from_day, then, now))
    return found


def _by_currency(
    breakdown: Breakdown, days: int, from_day: date, then: Mapping[str, Any] | None, now: Mapping[str, Any] | None
) -> Iterator[Trend]:
    if breakdown.columns[0].name != "currency":
        return
    before, after = _rows(breakdown, then), _rows(breakdown, now)
    amounts = [column.name for column in breakdown.columns if column.kind is FigureKind.AMOUNT]
    for currency in sorted({*before, *after}, key=str):
        for name in amounts:
            then_value = None if then is None else _number(before.get(currency, {}), name) or Decimal(0)
            now_value = None if now is None else _number(after.get(currency, {}), name) or Decimal(0)
            yield trend(name, days=days, from_day=from_day, then=then_value, now=now_value, currency=currency)


def _rows(breakdown: Breakdown, figures: Mapping[str, Any] | None) -> dict[str | None, Mapping[str, Any]]:
    return {row["currency"]: row for row in (figures or {}).get(breakdown.name, [])}


def _number(figures: Mapping[str, Any] | None, name: str) -> Decimal | None:
    value = None if figures is None else figures.get(name)
    return None if value is None else Decimal(value)
