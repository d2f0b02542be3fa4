"""Charts as SVG, drawn on the server: sparklines, bars, meters and lines over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, log10
from typing import Any, Final

from markupsafe import Markup

_EMPTY: Final = Markup('<span class="none">&ndash;</span>')
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 180, 48, 22
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: its name, and a value by moment; None where nothing was measured."""

    name: str
    points: Sequence[tuple[Any, float | None]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the time axis: an alert, a deployment."""

    at: Any
    title: str
    tone: str = "warn"


def sparkline(values: Sequence[float | None], *, title: str, width: int = 120, height: int = 28) -> Markup:
    """A small line without axes. `title` says what it shows, for those who cannot see it."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return _EMPTY
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    step = (width - 4) / (len(values) - 1)
    points = [
        (2 + step * i, height - 3 - (height - 6) * (value - low) / span)
        for i, value in enumerate(values)
        if value is not None
    ]
    return Markup(
        '<svg class="spark" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>{}</svg>'
    ).format(width, height, width, height, title, _line(points, "line-0"))


def bars(values: Sequence[float], *, title: str, width: int = 120, height: int = 28) -> Markup:
    """A bar for each value, from zero."""
    if not values:
        return _EMPTY
    high = max(values) or 1.0
    step = width / len(values)
    drawn = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            step * i, height - height * value / high, max(step - 1, 1), height * value / high
        )
        for i, value in enumerate(values)
    )
    return Markup(
        '<svg class="bars" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>{}</svg>'
    ).format(width, height, width, height, title, drawn)


def meter(share: float | None, *, title: str, warn: float = 0.8, bad: float = 0.95) -> Markup:
    """How much of a whole is used, 0 to 1."""
    if share is None:
        return _EMPTY
    part = min(max(share, 0.0), 1.0)
    tone = "bad" if share >= bad else "warn" if share >= warn else "good"
    return Markup(
        '<svg class="meter {}" role="img" viewBox="0 0 100 8" preserveAspectRatio="none"><title>{}</title>'
        '<rect class="rail" width="100" height="8"/><rect class="part" width="{:.1f}" height="8"/></svg>'
    ).format(tone, title, part * 100)


def time_chart(
    series: Sequence[Series], *, title: str, unit: str = "", marks: Sequence[Mark] = (), least: float | None = 0.0
) -> Markup:
    """Lines over time with both axes and the marks; empty without two points. `least` is the bottom, None: fitted."""
    dated = [Series(each.name, [(_seconds(at), value) for at, value in each.points]) for each in series]
    known = [(at, value) for each in dated for at, value in each.points if value is not None]
    if len(known) < 2:
        return _EMPTY
    times, values = [at for at, _ in known], [value for _, value in known]
    begin, end = min(times), max(times)
    low = min(values) if least is None else min(least, *values)
    high = max(values) if max(values) > low else low + 1.0
    scale = _Scale(begin, max(end, begin + 1), low, high)
    drawn = [scale.grid(unit)]
    drawn += [scale.mark(mark) for mark in marks if begin <= _seconds(mark.at) <= end]
    drawn += [scale.series(each, f"line-{i % 6}") for i, each in enumerate(dated)]
    return Markup('<svg class="time" role="img" viewBox="0 0 {} {}"><title>{}</title>{}</svg>{}').format(
        _WIDTH, _HEIGHT, title, Markup("").join(drawn), _legend(series)
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: float
    end: float
    low: float
    high: float

    def x(self, at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * (at - self.begin) / (self.end - self.begin)

    def y(self, value: float) -> float:
        return 8 + (_HEIGHT - _BOTTOM - 8) * (1 - (value - self.low) / (self.high - self.low))

    def grid(self, unit: str) -> Markup:
        drawn, before = [], ""
        for i in range(4):
            value = self.low + (self.high - self.low) * i / 3
            number = _short(value, (self.high - self.low) / 3)
            drawn.append(
                Markup(
                    '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}">{}{}</text>'
                ).format(
                    _LEFT,
                    _WIDTH - 8,
                    self.y(value),
                    self.y(value),
                    2,
                    self.y(value) + 4,
                    *(("", "") if number == before else (number, unit)),
                )
            )
            before = number
        for i in range(4):
            at = self.begin + (self.end - self.begin) * i / 3
            anchor = ("start", "middle", "middle", "end")[i]
            drawn.append(
                Markup('<text class="at" text-anchor="{}" x="{:.1f}" y="{}">{}</text>').format(
                    anchor, self.x(at), _HEIGHT - 6, _label(at, self.end - self.begin)
                )
            )
        return Markup("").join(drawn)

    def mark(self, mark: Mark) -> Markup:
        x = self.x(_seconds(mark.at))
        return Markup('<g class="mark {}"><title>{}</title><line x1="{:.1f}" x2="{:.1f}" y1="8" y2="{}"/></g>').format(
            mark.tone, mark.title, x, x, _HEIGHT - _BOTTOM
        )

    def series(self, series: Series, name: str) -> Markup:
        runs: list[list[Point]] = [[]]
        for at, value in series.points:
            if value is None:
                runs.append([])
            else:
                runs[-1].append((self.x(at), self.y(value)))
        return Markup("").join(_line(points, name) for points in runs if points)


def _line(points: Sequence[Point], name: str) -> Markup:
    if len(points) == 1:
        return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(name, *points[0])
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(name, path)


def _legend(series: Sequence[Series]) -> Markup:
    if len(series) < 2:
        return Markup("")
    entries = Markup("").join(
        Markup('<li class="line-{}">{}</li>').format(i % 6, each.name) for i, each in enumerate(series)
    )
    return Markup('<ul class="legend">{}</ul>').format(entries)


def _seconds(at: Any) -> float:
    if isinstance(at, int | float):
        return float(at)
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _label(at: float, span: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M}" if span <= 2 * 86_400 else f"{moment:%d %b}"


def _short(value: float, step: float = 1.0) -> str:
    """A number in few characters, with as many digits as tell it from the next one, `step` away."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            digits = min(3, max(1, ceil(-log10(step / size)))) if step > 0 else 1
            return f"{value / size:.{digits}f}".rstrip("0").rstrip(".") + suffix
    digits = 0 if value == int(value) or (step >= 1 and abs(value) >= 10) else 1 if step >= 0.1 else 2
    return f"{value:.{digits}f}"
