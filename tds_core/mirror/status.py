"""Details to come: how many records are known by their list rows alone, and when the quota lets the last be read.

What is owed at leisure: the details that lists made necessary, counted in calls to the source.

Both sides in figures: what the source showed when it was last read whole, beside what the mirror holds.

Where every entity stands, and when the quota lets what is left of it be read.

Figures of the stock's sync: how much is mirrored, how fresh it is, and how its passes went.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.inbox import queries as inbox_queries
from tds_core.mirror import rows
from tds_core.pagination import Row
from tds_core.queue import queries as queue_queries
from tds_core.queue.items import BULK_PRIORITY
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.forecast import Forecast
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.usage import QuotaUnknownError
from tds_core.sync import run_queries
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity

_BULK = text("select count(*) from tds_sync_queue where entity = :entity and priority >= :bulk")


def detail_calls(session: Session) -> dict[str, int]:
    """How many calls the bulk work in the queue takes, by API."""
    calls: dict[str, int] = {}
    for entity in ENTITIES.values():
        params = {"entity": entity.name, "bulk": entity.priority + BULK_PRIORITY}
        count = session.execute(_BULK, params).scalar_one()
        size = entity.stream.batch.size if entity.stream.batch else 1
        calls[entity.stream.api] = calls.get(entity.stream.api, 0) + math.ceil(count / size)
    return calls


LEFT = "select count(*) from {table} where lines_confirmed_at is null and deleted_at is null"


def details_left(session: Session) -> dict[str, int]:
    """How many living records were never seen whole since they changed, by entity; for those whose lists show less."""
    return {
        entity.name: int(session.execute(text(LEFT.format(table=entity.table.fullname))).scalar_one())
        for entity in ENTITIES.values()
        if entity.header_first
    }


def progress(left: Mapping[str, int], governor: Governor) -> list[dict[str, Any]]:
    """For each API with details to come: whose, the calls they take, those of today's quota, and when the last is made.

    `calls_today` and `calls_per_day` are None without a limit, and so is everything while nobody knows the quota;
    `ends_at` is also None when other calls leave nothing for details.
    """
    owed: dict[str, dict[str, int]] = {}
    for name, count in left.items():
        if count:
            owed.setdefault(ENTITIES[name].stream.api, {})[name] = count
    calls = {api: sum(_calls(ENTITIES[name], count) for name, count in each.items()) for api, each in owed.items()}
    try:
        found = governor.forecast(calls) if calls else None
    except QuotaUnknownError:
        found = None
    return [{"api": api, "left": owed[api], "call_count": calls[api], **_ahead(api, found)} for api in owed]


def _calls(entity: Entity, count: int) -> int:
    return math.ceil(count / entity.stream.batch.size) if entity.stream.batch else count


def _ahead(api: str, found: Forecast | None) -> dict[str, Any]:
    if found is None:
        return {"calls_today": None, "calls_per_day": None, "ends_at": None}
    backlog = next(each for each in found.backlogs if each.api == api)
    day = found.usage.days[api]
    ceiling = day.level.ceilings.get(Traffic.BACKFILL, 0)
    today = max(0, ceiling - day.level.used) if ceiling else None
    return {
        "calls_today": 0 if day.spent_until else today,
        "calls_per_day": backlog.calls_per_day,
        "ends_at": backlog.ends_at,
    }


_LAST_FULL = text("""
select r.entity, r.ended_at,
       (select count(distinct id) from tds_sync_run_pages p cross join unnest(p.source_ids) as id where p.run_id = r.id)
           as record_count
from (select distinct on (entity) id, entity, ended_at from tds_sync_runs
      where mode = 'full' and state = 'completed' order by entity, id desc) as r
""")
_DEAD_LETTERS = text("""
select entity, error_class, count(*) as count, max(dead_at) as last_at from tds_dead_letter_queue
where resolved_at is null group by entity, error_class order by count(*) desc, entity, error_class
""")


def source_vs_mirror(session: Session, *, run_count: int = 8) -> dict[str, Any]:
    """Entities on both sides, the queue, dead letters, events of the last day and the latest runs."""
    source = {row.entity: row for row in session.execute(_LAST_FULL)}
    entities = []
    for entity in ENTITIES.values():
        seen = source.get(entity.name)
        status = rows.entity_status(session, entity)
        status["source_count"] = seen.record_count if seen else None
        status["source_counted_at"] = seen.ended_at if seen else None
        entities.append(status)
    return {
        "entities": entities,
        "queue": queue_queries.queue_stats(session),
        "dead_letters": [dict(row) for row in session.execute(_DEAD_LETTERS).mappings()],
        "events": inbox_queries.reception_health(session),
        "runs": run_queries.runs(session, limit=run_count).items,
    }


def entity_statuses(session: Session) -> list[Row]:
    """Each entity's rows, newest change, details to come, cursor and last run."""
    return [rows.entity_status(session, entity) for entity in ENTITIES.values()]


def with_ends(found: Sequence[Row], governor: Governor) -> list[Row]:
    """The standings with when details end. The quota is asked for, so that no transaction should be open meanwhile."""
    ahead = progress({row["entity"]: row["details_left"] or 0 for row in found}, governor)
    ends = {name: each["ends_at"] for each in ahead for name in each["left"]}
    return [{**row, "details_end_at": ends.get(row["entity"])} for row in found]


_LEVELS = text("""
select count(*) as product_count,
       count(*) filter (where lines_confirmed_at is null) as details_left,
       count(*) filter (where stock_on_hand <= 0) as out_of_stock_count,
       count(*) filter (where stock_on_hand < 0) as negative_count,
       coalesce(sum(stock_on_hand), 0) as stock_on_hand,
       min(confirmed_at) as oldest_confirmed_at, max(changed_at) as last_changed_at
from erp.stock_level where deleted_at is null
""")
_LOCATIONS = text("""
select l.location_id, max(l.location_name) as location_name, count(*) as product_count,
       coalesce(sum(l.stock_on_hand), 0) as stock_on_hand
from erp.stock_level_location l join erp.stock_level s on (s.source, s.source_id) = (l.source, l.parent_id)
where s.deleted_at is null group by l.location_id order by l.location_id
""")
_PASSES = text("""
select count(*) as run_count, count(*) filter (where state = 'failed') as failed_count,
       sum(api_call_count) as api_call_count, sum(changed_count) as changed_count,
       avg(extract(epoch from ended_at - started_at))::float8 as average_seconds
from tds_sync_runs where entity = 'stock_level' and mode <> 'targeted' and requested_at > now() - interval '24 hours'
""")


def stock_status(session: Session) -> dict[str, Any]:
    """The figures, with the newest run; quantities are exact."""
    newest = run_queries.runs(session, entity="stock_level", limit=1).items
    return {
        **session.execute(_LEVELS).mappings().one(),
        "locations": [dict(row) for row in session.execute(_LOCATIONS).mappings()],
        "last_day": dict(session.execute(_PASSES).mappings().one()),
        "last_run": newest[0] if newest else None,
    }
