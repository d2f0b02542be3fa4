"""Queries of webhook coverage: by entity and hour, the gaps one by one, and in short."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict, cast

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.pagination import Page, read_page
from tds_core.webhook_coverage.gap_findings import rule_states
from tds_core.webhook_coverage.rule_state import ALL, RuleState
from tds_models.entities import ENTITIES
from tds_models.webhook_coverage import WebhookGap


class CoverageCounts(TypedDict):
    """Changes by how they were announced. `coverage_ratio`: the share in time, 0 to 1; None without changes."""

    changed_count: int
    webhook_count: int
    in_time_count: int
    late_count: int
    never_count: int
    wrong_count: int
    coverage_ratio: float | None


class CoverageCell(CoverageCounts):
    """One hour in which records of an entity changed."""

    hour_at: datetime


class EntityCoverageSummary(CoverageCounts):
    """The coverage of one entity. `state`: a `RuleState`, or one of `UNMEASURED`; earlier changes than
    `begins_at` do not count; `silent_events`: those that alone stay away.
    """

    entity: str
    title: str
    state: str
    silent_events: list[str]
    begins_at: datetime | None
    last_received_at: datetime | None


class EntityCoverage(EntityCoverageSummary):
    """The coverage of one entity, with the hours in which records of it changed."""

    cells: list[CoverageCell]


class CoverageSummary(TypedDict):
    """Coverage of the hours from `from_at` to `to_at`, which is not over.

    `first_webhook_at`: None while none has come, and nothing is measured.
    """

    hours: int
    from_at: datetime
    to_at: datetime
    measured_at: datetime | None
    first_webhook_at: datetime | None
    total: CoverageCounts
    entities: list[EntityCoverageSummary]


class Coverage(TypedDict):
    """The same with the hours of each entity."""

    hours: int
    from_at: datetime
    to_at: datetime
    measured_at: datetime | None
    first_webhook_at: datetime | None
    total: CoverageCounts
    entities: list[EntityCoverage]


class GapRow(TypedDict):
    """A change that polling found and no webhook announced in time; see `WebhookGap`."""

    entry_id: int
    source: str
    entity: str
    source_id: str
    operation: str
    origin: str
    correlation_id: str
    source_modified_at: datetime | None
    changed_at: datetime
    found_at: datetime
    verdict: str
    reason: str | None
    told_at: datetime | None


#: The longest time that is shown at once, and how long hours are kept.
MOST_HOURS = 24 * 90

COUNTS = ("webhook_count", "in_time_count", "late_count", "never_count", "wrong_count")
#: States of entities that do not count: the source has no webhook for them; none has come yet, or no full pass ended.
NOT_ANNOUNCED, NOT_MEASURED = "not_announced", "not_measured"
UNMEASURED = (NOT_ANNOUNCED, NOT_MEASURED)

_SUMS = ", ".join(f"sum({name})::bigint as {name}" for name in COUNTS)
_HOURS = text(f"""
select entity, hour_at, {_SUMS} from tds_webhook_coverage
where hour_at >= date_trunc('hour', now()) - make_interval(hours => :hours - 1)
  and (cast(:entity as text) is null or entity = :entity)
group by entity, hour_at order by hour_at
""")
_RULES = text("""
select entity, min(begins_at) as begins_at, max(last_received_at) as last_received_at
from tds_webhook_rules group by entity
""")
_POSITION = text("""
select date_trunc('hour', now()) as hour_at, max(measured_at) as measured_at, max(first_webhook_at) as first_webhook_at
from tds_webhook_coverage_position
""")


def coverage(session: Session, *, hours: int = 24, entity: str | None = None) -> Coverage:
    """Coverage of the last `hours` hours, the present one included, by entity and hour, and of all together."""
    position = session.execute(_POSITION).mappings().one()
    rules = {row["entity"]: row for row in session.execute(_RULES).mappings()}
    states = rule_states(session)
    cells: dict[str, list[CoverageCell]] = {}
    for name, hour_at, *counts in session.execute(_HOURS, {"hours": hours, "entity": entity}):
        cells.setdefault(name, []).append({"hour_at": hour_at, **_with_ratio(dict(zip(COUNTS, counts, strict=True)))})
    names = [entity] if entity else list(ENTITIES)
    entities = [_entity(name, cells.get(name, []), dict(rules.get(name, {})), states) for name in names]
    last: datetime = position["hour_at"]
    return {
        "hours": hours,
        "from_at": last - timedelta(hours=hours - 1),
        "to_at": last,
        "measured_at": position["measured_at"],
        "first_webhook_at": position["first_webhook_at"],
        "total": _sum(entities),
        "entities": entities,
    }


def _entity(
    name: str,
    cells: list[CoverageCell],
    rule: Mapping[str, Any],
    states: Mapping[tuple[str, str], RuleState],
) -> EntityCoverage:
    of_events = {event: state for (each, event), state in states.items() if each == name and event != ALL}
    begins_at = rule.get("begins_at")
    return {
        "entity": name,
        "title": ENTITIES[name].title,
        "state": _state(name, begins_at, states),
        "silent_events": [event for event, state in of_events.items() if state is not RuleState.HEARD],
        "begins_at": begins_at,
        "last_received_at": rule.get("last_received_at"),
        **_sum(cells),
        "cells": cells,
    }


def _state(name: str, begins_at: datetime | None, states: Mapping[tuple[str, str], RuleState]) -> str:
    if not ENTITIES[name].stream.rule_module:
        return NOT_ANNOUNCED
    return states.get((name, ALL), RuleState.HEARD).value if begins_at else NOT_MEASURED


def _sum(rows: Iterable[CoverageCounts]) -> CoverageCounts:
    sums = dict.fromkeys(COUNTS, 0)
    for row in rows:
        for name in COUNTS:
            sums[name] += cast("Mapping[str, int]", row)[name]
    return _with_ratio(sums)


def _with_ratio(row: Mapping[str, int]) -> CoverageCounts:
    in_time = row["webhook_count"] + row["in_time_count"]
    changed = in_time + row["late_count"] + row["never_count"] + row["wrong_count"]
    return {
        "changed_count": changed,
        "webhook_count": row["webhook_count"],
        "in_time_count": row["in_time_count"],
        "late_count": row["late_count"],
        "never_count": row["never_count"],
        "wrong_count": row["wrong_count"],
        "coverage_ratio": round(in_time / changed, 4) if changed else None,
    }


def summary(session: Session) -> CoverageSummary:
    """Coverage of the last 24 hours without its hours."""
    found: Any = coverage(session)
    for each in found["entities"]:
        del each["cells"]
    return cast("CoverageSummary", found)


def gaps(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    entity: str | None = None,
    verdict: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    changed_hour: datetime | None = None,
) -> Page[GapRow]:
    """A page of the changes no webhook announced in time, those found last first.

    `since` and `until` bound `found_at`; `changed_hour` is the beginning of an hour in which the source changed them.
    """
    columns = WebhookGap.__table__.c
    statement = select(*columns)
    for name, value in (("entity", entity), ("verdict", verdict)):
        if value is not None:
            statement = statement.where(columns[name] == value)
    if since is not None:
        statement = statement.where(columns["found_at"] >= since)
    if until is not None:
        statement = statement.where(columns["found_at"] < until)
    if changed_hour is not None:
        of_hour = columns["changed_at"].between(changed_hour, changed_hour + timedelta(microseconds=3_599_999_999))
        # A clock of the source that is fast dates a change after it was found, by far less than this hour.
        statement = statement.where(of_hour, columns["found_at"] >= changed_hour - timedelta(hours=1))
    keys = [columns["found_at"], columns["entry_id"]]
    return read_page(session, statement, keys=keys, cursor=cursor, limit=limit)
