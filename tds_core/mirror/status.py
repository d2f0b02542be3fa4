"""Mirror status: where every entity stands, its records at the source, and how much is left to read."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.inbox import queries as inbox_queries
from tds_core.inbox.queries import ReceptionHealth
from tds_core.mirror import row_queries
from tds_core.mirror.row_queries import EntityStatus
from tds_core.queue import queries as queue_queries
from tds_core.queue.items import BULK_PRIORITY
from tds_core.queue.queries import EntityQueueStats
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.forecast import Forecast
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.usage_snapshot import QuotaUnknownError
from tds_core.sync import run_queries
from tds_core.sync.run_queries import RunRow
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

_BULK_COUNT = text("select count(*) from tds_sync_queue where entity = :entity and priority >= :bulk")
_DETAILS_LEFT = "select count(*) from {table} where lines_confirmed_at is null and deleted_at is null"
# A run counts each record once, and its pages are kept for a week only.
_LAST_FULL = text("""
select distinct on (entity) entity, ended_at, fetched_count as record_count from tds_sync_runs
where mode = 'full' and state = 'completed' order by entity, id desc
""")
_DEAD_LETTERS = text("""
select entity, error_class, count(*) as count, max(dead_at) as last_at from tds_dead_letter_queue
where resolved_at is null group by entity, error_class order by count(*) desc, entity, error_class
""")


class _QuotaShare(TypedDict):
    calls_today: int | None
    calls_per_day: float | None
    ends_at: datetime | None


class DetailProgress(_QuotaShare):
    """The details to read through one API. `left`: records by entity; `call_count`: the calls they take.

    `calls_today`: left of today's quota, `calls_per_day`: available on average, both None without a limit; `ends_at`:
    when the last call can be made, None when other calls leave no room. All None while the quota is unknown.
    """

    api: str
    left: dict[str, int]
    call_count: int


class EntityStatusWithEnd(EntityStatus):
    """`details_end_at`: when the details left will have been read; None when there are none, or it is unknown."""

    details_end_at: datetime | None


class EntityVsSource(EntityStatus):
    """`source_count`: records that the last full pass listed; None before the first."""

    source_count: int | None
    source_counted_at: datetime | None


class OpenDeadLetterCount(TypedDict):
    """The open dead letters of an entity and error class. `last_at`: when the newest was given up."""

    entity: str
    error_class: str
    count: int
    last_at: datetime


class SourceVsMirror(TypedDict):
    """The statistics of `tds stats`."""

    entities: list[EntityVsSource]
    queue: list[EntityQueueStats]
    dead_letters: list[OpenDeadLetterCount]
    events: ReceptionHealth
    runs: list[RunRow]


def entity_statuses(session: Session, counts: Mapping[str, row_queries.EntityCounts]) -> list[EntityStatus]:
    """The status of each entity. `counts`: by entity, the rows of those that have been counted; others are now."""
    return [row_queries.entity_status(session, entity, counts.get(name)) for name, entity in ENTITIES.items()]


def with_ends(statuses: Sequence[EntityStatus], governor: Governor) -> list[EntityStatusWithEnd]:
    """The statuses with `details_end_at`. Reads the quota from Redis, so no transaction should be open."""
    details = progress({row["entity"]: row["details_left"] or 0 for row in statuses}, governor)
    ends = {name: each["ends_at"] for each in details for name in each["left"]}
    return [{**row, "details_end_at": ends.get(row["entity"])} for row in statuses]


def source_vs_mirror(
    session: Session, counts: Mapping[str, row_queries.EntityCounts], *, run_count: int = 8
) -> SourceVsMirror:
    """Both sides of every entity, the queue, dead letters, events of the last day and the latest runs.

    `counts`: by entity, the rows of those that have been counted; others are counted now.
    """
    source = {row.entity: row for row in session.execute(_LAST_FULL)}
    entities: list[EntityVsSource] = []
    for entity in ENTITIES.values():
        seen = source.get(entity.name)
        entities.append(
            {
                **row_queries.entity_status(session, entity, counts.get(entity.name)),
                "source_count": seen.record_count if seen else None,
                "source_counted_at": seen.ended_at if seen else None,
            }
        )
    dead_letters = [dict(row) for row in session.execute(_DEAD_LETTERS).mappings()]
    return {
        "entities": entities,
        "queue": queue_queries.queue_stats(session),
        "dead_letters": cast("list[OpenDeadLetterCount]", dead_letters),
        "events": inbox_queries.reception_health(session),
        "runs": run_queries.runs(session, limit=run_count).items,
    }


def details_left(session: Session) -> dict[str, int]:
    """By entity whose lists show only headers, how many living records have no details since they changed."""
    return {
        entity.name: int(session.execute(text(_DETAILS_LEFT.format(table=entity.table.fullname))).scalar_one())
        for entity in ENTITIES.values()
        if entity.header_first
    }


def detail_calls(session: Session) -> dict[str, int]:
    """By API, how many calls the bulk work in the queue takes."""
    calls: dict[str, int] = {}
    for entity in ENTITIES.values():
        params = {"entity": entity.name, "bulk": entity.priority + BULK_PRIORITY}
        count = session.execute(_BULK_COUNT, params).scalar_one()
        size = entity.stream.batch.size if entity.stream.batch else 1
        calls[entity.stream.api] = calls.get(entity.stream.api, 0) + math.ceil(count / size)
    return calls


def progress(left: Mapping[str, int], governor: Governor) -> list[DetailProgress]:
    """The details to read through each API, with what the quota leaves for them. `left`: records by entity."""
    left_by_api: dict[str, dict[str, int]] = {}
    for name, count in left.items():
        if count:
            left_by_api.setdefault(ENTITIES[name].stream.api, {})[name] = count
    calls = {
        api: sum(_calls(ENTITIES[name], count) for name, count in each.items()) for api, each in left_by_api.items()
    }
    try:
        forecast = governor.forecast(calls) if calls else None
    except QuotaUnknownError:
        forecast = None
    return [
        {"api": api, "left": left_by_api[api], "call_count": calls[api], **_quota_share(api, forecast)}
        for api in left_by_api
    ]


def _calls(entity: Entity, count: int) -> int:
    return math.ceil(count / entity.stream.batch.size) if entity.stream.batch else count


def _quota_share(api: str, forecast: Forecast | None) -> _QuotaShare:
    if forecast is None:
        return {"calls_today": None, "calls_per_day": None, "ends_at": None}
    backlog = next(each for each in forecast.backlogs if each.api == api)
    day = forecast.usage.days[api]
    ceiling = day.level.ceilings.get(Traffic.BACKFILL, 0)
    today = max(0, ceiling - day.level.used) if ceiling else None
    return {
        "calls_today": 0 if day.spent_until else today,
        "calls_per_day": backlog.calls_per_day,
        "ends_at": backlog.ends_at,
    }
