"""Statistics history: stores figures and activity by hour and by day, idempotently, and reads them back."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.statistics import uptime
from tds_core.statistics.activity import HOUR, INSTALLATION, Activity, count_hours, total
from tds_core.statistics.entity_figures import measure, read_figures
from tds_core.statistics.local_time import day_bounds, hour_begins, local_day
from tds_models.statistics import Grain

#: Events are kept so long: hours before can no longer be counted.
COUNTABLE = timedelta(days=7)
#: Hours that are counted again, because events of theirs may have ended since.
RECOUNTED = 3 * HOUR
#: Spans up to so many days are shown by hour.
DAYS_BY_HOUR = 7
#: Hours counted in one transaction.
AT_ONCE = 24 * HOUR

_STORE_FIGURES = text("""
insert into tds_statistics_history (entity, grain, began_at, figures, measured_at)
select :entity, s.grain, s.began_at, cast(:figures as jsonb), now()
from unnest(cast(:grains as text[]), cast(:begins as timestamptz[])) as s(grain, began_at)
on conflict (entity, grain, began_at) do update set figures = excluded.figures, measured_at = excluded.measured_at
""")
_STORE_ACTIVITY = text("""
insert into tds_statistics_history (entity, grain, began_at, activity)
select r.entity, :grain, r.began_at, r.activity
from jsonb_to_recordset(cast(:rows as jsonb)) as r(entity text, began_at timestamptz, activity jsonb)
on conflict (entity, grain, began_at) do update set activity = excluded.activity
""")
_ACTIVITIES = text("""
select entity, activity::text as activity from tds_statistics_history
where grain = 'hour' and began_at >= :since and began_at < :until and activity is not null
""")
# Whole days as days, and what is left at both ends as hours.
_WITHIN = text("""
select entity, began_at, activity::text as activity from tds_statistics_history
where grain = 'day' and began_at >= :first_day and began_at < :days_end and activity is not null
union all
select entity, began_at, activity::text from tds_statistics_history
where grain = 'hour' and began_at >= :since and began_at < least(:first_day, :until) and activity is not null
union all
select entity, began_at, activity::text from tds_statistics_history
where grain = 'hour' and began_at >= :days_end and began_at < :until and activity is not null
""")
_MEASURED_AT = text("""
select e.entity from unnest(cast(:entities as text[])) with ordinality as e(entity, place) left join lateral (
    select measured_at from tds_statistics_history h where h.entity = e.entity and h.grain = 'hour'
      and h.figures is not null order by h.began_at desc limit 1) as h on true
order by h.measured_at nulls first, e.place
""")
_COUNTED_UNTIL = text("""
select max(began_at) + interval '1 hour' from tds_statistics_history
where grain = 'hour' and entity = :installation and activity is not null
""")
_INSTALLED_AT = text("""
select least((select requested_at from tds_sync_runs order by id limit 1),
    (select min(received_at) from tds_inbox_events), (select min(ended_at) from tds_sync_logs),
    (select began_at from tds_healing_cycles order by id limit 1), (select min(sampled_at) from tds_uptime_samples),
    (select min(began_at) from tds_statistics_history where grain = 'hour'),
    (select min(began_at) from tds_statistics_history where grain = 'day'))
""")
_NEWEST_FIGURES = text("""
select e.entity, h.measured_at, h.figures::text as figures from unnest(cast(:entities as text[])) as e(entity)
cross join lateral (
    select measured_at, figures from tds_statistics_history h
    where h.entity = e.entity and h.grain = 'hour' and h.figures is not null order by began_at desc limit 1
) as h
""")
_FIGURES_OF_SPANS = text("""
select entity, began_at, figures::text as figures from tds_statistics_history
where grain = :grain and began_at >= :since and began_at < :until and entity = any(:entities) and figures is not null
order by entity, began_at
""")


class StoredFigures(TypedDict):
    """The figures of an entity with the moment they were measured."""

    measured_at: datetime
    figures: dict[str, Any]


def grain_of(days: int) -> Grain:
    """How finely a history of so many days is shown."""
    return Grain.HOUR if days <= DAYS_BY_HOUR else Grain.DAY


def store_figures(session: Session, entity: str, *, now: datetime, zone: str) -> None:
    """Measure an entity and store its figures for this hour and this day; measured again, the last ones stay."""
    figures = measure(session, entity, zone=zone).decode()
    begins = [hour_begins(now, zone), day_bounds(local_day(now, zone), zone)[0]]
    session.execute(
        _STORE_FIGURES,
        {"entity": entity, "figures": figures, "grains": [Grain.HOUR.value, Grain.DAY.value], "begins": begins},
    )


def installed_at(session: Session) -> datetime | None:
    """When this installation first did something that its tables still show; None before."""
    found: datetime | None = session.execute(_INSTALLED_AT).scalar()
    return found


def counted_until(session: Session) -> datetime | None:
    """The end of the newest hour whose activity is stored; None before the first."""
    found: datetime | None = session.execute(_COUNTED_UNTIL, {"installation": INSTALLATION}).scalar()
    return found


def uncounted_spans(session: Session, *, now: datetime, zone: str) -> list[tuple[datetime, datetime]]:
    """The whole hours whose activity is to be counted, oldest first, in spans of a day at most.

    They begin where the stored ones end, some hours before that, or where the installation begins; never before what
    is still countable.
    """
    until = hour_begins(now, zone)
    since = counted_until(session)
    if since is None:
        installed = installed_at(session)
        since = hour_begins(installed, zone) if installed else until
    else:
        since -= RECOUNTED
    since = max(since, until - COUNTABLE)
    spans = []
    while since < until:
        spans.append((since, min(since + AT_ONCE, until)))
        since = spans[-1][1]
    return spans


def store_activity(session: Session, *, since: datetime, until: datetime, zone: str) -> int:
    """Count the whole hours of a span and store them, and with them the days they are of. Returns the hours."""
    hours = count_hours(session, since=since, until=until)
    rows = []
    for hour, activities in hours.items():
        activities[INSTALLATION]["up_seconds"] = uptime.up_seconds(session, since=hour, until=hour + HOUR)
        rows += [_row(entity, hour, activity) for entity, activity in activities.items()]
    _store(session, Grain.HOUR, rows)
    for day in sorted({local_day(hour, zone) for hour in hours}):
        _store_day(session, day, zone)
    return len(hours)


def _store_day(session: Session, day: date, zone: str) -> None:
    begin, end = day_bounds(day, zone)
    by_entity: dict[str, list[Activity]] = {}
    for row in session.execute(_ACTIVITIES, {"since": begin, "until": end}):
        by_entity.setdefault(row.entity, []).append(msgspec.json.decode(row.activity, type=Activity))
    _store(session, Grain.DAY, [_row(entity, begin, total(every)) for entity, every in by_entity.items()])


def _row(entity: str, began_at: datetime, activity: Activity) -> dict[str, Any]:
    return {"entity": entity, "began_at": began_at, "activity": activity}


def _store(session: Session, grain: Grain, rows: Sequence[Mapping[str, Any]]) -> None:
    session.execute(_STORE_ACTIVITY, {"grain": grain.value, "rows": msgspec.json.encode(rows).decode()})


def stored_activity(
    session: Session, *, since: datetime, until: datetime, zone: str
) -> tuple[dict[str, Activity], datetime | None]:
    """What was stored of a span, which begins and ends with an hour, by entity; and since when there is any."""
    days = _whole_days(since, until, zone)
    params = {"since": since, "until": until, "first_day": days[0], "days_end": days[1]}
    found: dict[str, list[Activity]] = {}
    begins = []
    for row in session.execute(_WITHIN, params):
        found.setdefault(row.entity, []).append(msgspec.json.decode(row.activity, type=Activity))
        begins.append(row.began_at)
    return {entity: total(every) for entity, every in found.items()}, min(begins, default=None)


def _whole_days(since: datetime, until: datetime, zone: str) -> tuple[datetime, datetime]:
    """The begin of the first local day and the end of the last one that are within a span as a whole."""
    first_begin, first_end = day_bounds(local_day(since, zone), zone)
    first = first_begin if first_begin == since else first_end
    return first, max(first, day_bounds(local_day(until, zone), zone)[0])


def longest_not_measured(session: Session, entities: Iterable[str]) -> list[str]:
    """The entities, those whose figures are the oldest first."""
    return list(session.execute(_MEASURED_AT, {"entities": list(entities)}).scalars())


def newest_figures(session: Session, entities: Iterable[str]) -> dict[str, StoredFigures]:
    """The figures stored last of each of `entities` that has any."""
    rows = session.execute(_NEWEST_FIGURES, {"entities": list(entities)})
    return {
        row.entity: {"measured_at": row.measured_at, "figures": read_figures(row.entity, row.figures.encode())}
        for row in rows
    }


def figures_of_days(
    session: Session, entities: Iterable[str], *, first: date, last: date, zone: str
) -> dict[str, dict[date, dict[str, Any]]]:
    """The figures at the end of each day from `first` to `last`, by entity and day; days without any are left out."""
    span = {"since": day_bounds(first, zone)[0], "until": day_bounds(last, zone)[1]}
    found: dict[str, dict[date, dict[str, Any]]] = {}
    for row in session.execute(_FIGURES_OF_SPANS, {"grain": "day", "entities": list(entities), **span}):
        figures = read_figures(row.entity, row.figures.encode())
        found.setdefault(row.entity, {})[local_day(row.began_at, zone)] = figures
    return found
