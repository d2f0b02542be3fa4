"""Details to come: how many records are known by their list rows alone, and when the quota lets the last be read."""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sources.traffic import Traffic
from tds_core.sources.zoho.quota.forecast import Forecast
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.usage import QuotaUnknownError
from tds_models.entities import ENTITIES
from tds_models.entity import Entity

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
