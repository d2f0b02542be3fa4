"""Forecast of the quota: when each class's calls of the day run out, and when a backlog of back-fill calls is done."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict, cast

from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.quota.usage_snapshot import Counts, DayUsage, LimitUsage, Usage

# The present rates are those of so many minutes.
RHYTHM_MINUTES = 15
# A ceiling counts as reached within this distance.
SAME = 0.01
_Rates = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class HourUse:
    """The calls of one hour of the day by class; the newest goes on."""

    began_at: datetime
    by_class: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayForecast:
    """One product's day: its hours, and how it goes on at the present rates.

    A class missing in `runs_out_at` lasts until the reset.
    """

    api: str
    hours: Sequence[HourUse]
    calls_per_hour: Mapping[str, float]
    runs_out_at: Mapping[Traffic, datetime]
    used_at_reset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogForecast:
    """When `call_count` back-fill calls will be done; `ends_at` is None if other classes leave no calls."""

    api: str
    call_count: int
    calls_per_day: int | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The usage now, and its continuation."""

    usage: Usage
    days: Sequence[DayForecast]
    backlogs: Sequence[BacklogForecast]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Calls per second by class: `present` for the next hour, then `by_hour` of the day, or `usual` if unknown."""

    present: _Rates
    usual: _Rates
    by_hour: Mapping[int, _Rates]
    hour_seconds: float

    def at(self, moment: float, now: float) -> _Rates:
        """The rates expected at `moment`; the hour that begins now goes on as it does."""
        if moment < now + self.hour_seconds:
            return self.present
        return self.by_hour.get(self._hour(moment) % 24, self.usual)

    def lasts_until(self, moment: float, now: float) -> float:
        """Until when the rates of `moment` hold."""
        if moment < now + self.hour_seconds:
            return now + self.hour_seconds
        return (self._hour(moment) + 1) * self.hour_seconds

    def _hour(self, moment: float) -> int:
        """The number of its hour; a moment that rounding put just before the next one is in the next."""
        return math.floor(moment / self.hour_seconds + 1e-6)


def forecast(usage: Usage, limits: Limits, backlog: Mapping[str, int]) -> Forecast:
    """The forecast for `usage`; `backlog`: back-fill calls still to make, by API."""
    return Forecast(
        usage=usage,
        days=[forecast_day(day, limits, usage.at) for day in usage.days.values()],
        backlogs=[forecast_backlog(usage, limits, api, count) for api, count in backlog.items()],
    )


def rhythm(day: DayUsage, limits: Limits, now: float) -> Rhythm:
    """The rates of calls, from the counts of `day`."""
    minute, hour = limits.minute_seconds, limits.minute_seconds * 60
    first = int(now // minute) - RHYTHM_MINUTES + 1
    recent = {n: counts for n, counts in day.minutes.items() if n >= first}
    # Calls are counted at least since the oldest minute kept, or the end of the oldest hour.
    counted_since = min([n * minute for n in day.minutes] + [(n + 1) * hour for n in day.hours], default=now)
    span = max(minute, now - max(counted_since, first * minute))
    present = {name: total / span for name, total in _totals(recent).items()}
    usual = _usual(day.hours, now, counted_since, hour) if day.hours else present
    return Rhythm(present, usual, _by_hour(day.hours, int(now // hour), hour), hour)


def _usual(hours: Counts, now: float, counted_since: float, hour_seconds: float) -> dict[str, float]:
    """The mean rates of the last day, or of what was counted of it.

    Lists are read by a timetable: what they took since yesterday is a day's worth, however short that was, so that the
    first pass over everything is not taken for what every hour brings.
    """
    day_seconds = 24 * hour_seconds
    recent = {n: counts for n, counts in hours.items() if n > int(now // hour_seconds) - 24}
    span = min(day_seconds, max(now - counted_since, hour_seconds / 60))
    timed = (Traffic.SCHEDULED, Traffic.BACKFILL)
    return {name: total / (day_seconds if name in timed else span) for name, total in _totals(recent).items()}


def _by_hour(hours: Counts, current: int, hour_seconds: float) -> dict[int, _Rates]:
    """The mean rates of each hour of the day, over the earlier days on which it was counted."""
    if not hours:
        return {}
    found: dict[int, _Rates] = {}
    for slot in range(24):
        earlier = [n for n in range(min(hours), current) if n % 24 == slot]
        if earlier:
            totals = _totals({n: hours[n] for n in earlier if n in hours})
            found[slot] = {name: total / len(earlier) / hour_seconds for name, total in totals.items()}
    return found


def _totals(counts: Counts) -> dict[str, int]:
    totals: dict[str, int] = {}
    for by_class in counts.values():
        for name, count in by_class.items():
            totals[name] = totals.get(name, 0) + count
    return totals


def forecast_day(day: DayUsage, limits: Limits, at: datetime) -> DayForecast:
    """When each class's share of the day runs out, if the rhythm stays. A class that ran out calls no more."""
    now, reset = at.timestamp(), day.resets_at.timestamp()
    found = rhythm(day, limits, now)
    ceilings = day.level.ceilings if day.level.limit else {}
    ends: dict[str, float] = {}
    used, moment = float(day.level.used), now
    while moment < reset:
        for traffic, ceiling in ceilings.items():
            if used >= ceiling - SAME:
                ends.setdefault(traffic, moment)
        rate = sum(each for name, each in found.at(moment, now).items() if name not in ends)
        until = min(reset, found.lasts_until(moment, now))
        next_ceiling = min((each for name, each in ceilings.items() if name not in ends), default=math.inf)
        if rate > 0:
            until = min(until, moment + (next_ceiling - used) / rate)
        used += rate * (until - moment)
        moment = until
    return DayForecast(
        api=day.api,
        hours=_hours_of(day, limits),
        calls_per_hour={name: round(each * found.hour_seconds, 1) for name, each in found.present.items()},
        runs_out_at={each: datetime.fromtimestamp(ends[each], UTC) for each in Traffic if each in ends},
        used_at_reset=round(used),
    )


def _hours_of(day: DayUsage, limits: Limits) -> list[HourUse]:
    """The hours since the last reset in which calls were made; of the one it fell into all calls."""
    hour_seconds = limits.minute_seconds * 60
    first = (day.resets_at.timestamp() - limits.day_seconds) // hour_seconds
    return [
        HourUse(datetime.fromtimestamp(n * hour_seconds, UTC), day.hours[n]) for n in sorted(day.hours) if n >= first
    ]


def forecast_backlog(usage: Usage, limits: Limits, api: str, call_count: int) -> BacklogForecast:
    """When `call_count` back-fill calls to `api` will have been made beside what the other classes do."""
    day, now = usage.days[api], usage.at.timestamp()
    reset = day.resets_at.timestamp()
    found = rhythm(day, limits, now)
    room = _Room(usage.minute.ceilings[Traffic.BACKFILL] / limits.minute_seconds, day.level.ceilings[Traffic.BACKFILL])
    today = list(room.flow(found, now, begin=now, end=reset, used=day.level.used))
    daily = list(room.flow(found, now, begin=reset, end=reset + limits.day_seconds, used=0))
    made_today, made_daily = (sum(calls for _, _, calls in flow) for flow in (today, daily))
    if call_count <= made_today:
        ends = _when(today, call_count, now)
    elif made_daily >= 1:
        days = math.ceil((call_count - made_today) / made_daily) - 1
        rest = call_count - made_today - days * made_daily
        ends = days * limits.day_seconds + _when(daily, rest, reset)
    else:
        ends = math.inf
    return BacklogForecast(
        api=api,
        call_count=call_count,
        calls_per_day=None if math.isinf(made_daily) else int(made_daily),
        ends_at=None if math.isinf(ends) else usage.at + timedelta(seconds=ends - now),
    )


@dataclass(frozen=True, slots=True)
class _Room:
    """What back-fill may take: calls a second, all classes together, and calls a day; 0 where there is no limit."""

    pace: float
    share: int

    def flow(
        self, found: Rhythm, now: float, *, begin: float, end: float, used: float
    ) -> Iterator[tuple[float, float, float]]:
        """From when, for how long and how many calls back-fill makes, hour by hour, until its share is used."""
        moment, share = begin, self.share or math.inf
        while moment < end:
            until = min(end, found.lasts_until(moment, now))
            others = sum(rate for name, rate in found.at(moment, now).items() if name != Traffic.BACKFILL)
            pace = max(0.0, self.pace - others) if self.pace else math.inf
            room, seconds = max(0.0, share - used), until - moment
            if math.isinf(pace):
                yield moment, 0.0, room
                used += room
            elif pace > 0:
                seconds = min(seconds, room / (pace + others))
                yield moment, seconds, pace * seconds
                used += pace * seconds
            used += others * (until - moment)
            moment = until


def _when(flow: Sequence[tuple[float, float, float]], call_count: float, begin: float) -> float:
    """The moment at which so many calls of `flow` were made; `begin` for none."""
    for moment, seconds, calls in flow:
        if 0 < call_count <= calls:
            return moment + seconds * call_count / calls if seconds else moment
        call_count -= calls
    return begin


class LevelDocument(TypedDict):
    """The use of a limit; `left` is None without one."""

    used: int
    limit: int
    left: int | None
    ceilings: Mapping[Traffic, int]


class DayDocument(LevelDocument):
    """The use of one product's day and its forecast; see `DayUsage` and `DayForecast`."""

    api: str
    by_class: Mapping[str, int]
    told_limit: int | None
    resets_at: datetime
    reset_told: bool
    spent_until: datetime | None
    hours: Sequence[HourUse]
    calls_per_hour: Mapping[str, float]
    runs_out_at: Mapping[Traffic, datetime]
    used_at_reset: int


class BacklogDocument(TypedDict):
    """The fields of `BacklogForecast`."""

    api: str
    call_count: int
    calls_per_day: int | None
    ends_at: datetime | None


class QuotaDocument(TypedDict):
    """The whole quota at one moment and its forecast."""

    at: datetime
    minute: LevelDocument
    concurrent: LevelDocument
    blocked_until: datetime | None
    lowered_until: datetime | None
    waiting: Mapping[Traffic, int]
    days: list[DayDocument]
    backlogs: list[BacklogDocument]


def quota_document(forecast: Forecast) -> QuotaDocument:
    """The forecast as one JSON document, for the API and `--json`; schema: `tds_api.resources.quota`."""
    usage = forecast.usage
    return {
        "at": usage.at,
        "minute": _level(usage.minute),
        "concurrent": _level(usage.concurrent),
        "blocked_until": usage.blocked_until,
        "lowered_until": usage.lowered_until,
        "waiting": usage.waiting,
        "days": [
            {
                "api": day.api,
                **_level(day.level),
                "by_class": day.by_class,
                "told_limit": day.told_limit,
                "resets_at": day.resets_at,
                "reset_told": day.reset_told,
                "spent_until": day.spent_until,
                "hours": ahead.hours,
                "calls_per_hour": ahead.calls_per_hour,
                "runs_out_at": ahead.runs_out_at,
                "used_at_reset": ahead.used_at_reset,
            }
            for day, ahead in zip(usage.days.values(), forecast.days, strict=True)
        ],
        "backlogs": [cast("BacklogDocument", asdict(each)) for each in forecast.backlogs],
    }


def _level(level: LimitUsage) -> LevelDocument:
    return {"used": level.used, "limit": level.limit, "left": level.left, "ceilings": level.ceilings}
