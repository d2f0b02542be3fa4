"""Current figures: of small tables measured when asked for, of large ones as they were measured last."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.mirror.row_queries import EntityCounts, estimated_counts
from tds_core.mirror.stock_statistics import StockCounts, StockLocation
from tds_core.queue.items import database_clock
from tds_core.statistics.entity_figures import OTHER_TABLES, measure, read_figures
from tds_core.statistics.history import StoredFigures, newest_figures
from tds_models.entities import ENTITIES

#: Tables of an entity that are smaller than this together are measured when asked for; larger ones every hour.
MEASURED_AT_ONCE_BYTES = 24 * 1024**2

# A table that is not there has no size; measuring it then says so as everywhere.
_SIZES = text("""
select t as name, coalesce(pg_relation_size(to_regclass(t)), 0) as bytes from unnest(cast(:tables as text[])) as t
""")


def current_figures(session: Session, entities: Iterable[str], *, zone: str) -> dict[str, StoredFigures]:
    """The figures of entities as they are: measured now where that is quick, else as they were measured last."""
    names = list(entities)
    quick = _quickly_measured(session, names)
    found = newest_figures(session, [name for name in names if name not in quick])
    now = database_clock(session)
    for name in quick:
        found[name] = {"measured_at": now, "figures": read_figures(name, measure(session, name, zone=zone))}
    return found


def stored_counts(session: Session) -> dict[str, EntityCounts]:
    """How many rows large entities have by state, as they were measured last; about how many, where they never were."""
    names = EntityCounts.__annotations__
    counts: Any = {}
    for entity, each in _of_large(session, ENTITIES).items():
        if each is None:
            counts[entity] = estimated_counts(session, ENTITIES[entity])
        else:
            measured = {"counted_at": each["measured_at"], "is_estimated": False}
            counts[entity] = {name: each["figures"].get(name) for name in names} | measured
    found: dict[str, EntityCounts] = counts
    return found


def stored_stock(session: Session) -> StockCounts | None:
    """The stock as it was measured last, about how much there is where it never was; None: it is counted quickly."""
    large = _of_large(session, ["stock_level"])
    if not large:
        return None
    stored = large["stock_level"]
    if stored is None:
        return _estimated_stock(session)
    figures = stored["figures"]
    return StockCounts(
        measured_at=stored["measured_at"],
        is_estimated=False,
        product_count=figures["live_count"],
        details_left=figures["details_left"],
        out_of_stock_count=figures["without_stock_count"],
        negative_count=figures["negative_stock_count"],
        stock_on_hand=Decimal(figures["stock_on_hand"]),
        oldest_confirmed_at=figures["oldest_confirmed_at"],
        last_changed_at=figures["last_changed_at"],
        locations=[_stock_location(each) for each in figures["locations"]],
    )


def _estimated_stock(session: Session) -> StockCounts:
    counts = estimated_counts(session, ENTITIES["stock_level"])
    return StockCounts(
        measured_at=counts["counted_at"], is_estimated=True, product_count=counts["live_count"], details_left=None,
        out_of_stock_count=None, negative_count=None, stock_on_hand=None, oldest_confirmed_at=None,
        last_changed_at=None, locations=[],
    )  # fmt: skip


def _stock_location(row: Mapping[str, Any]) -> StockLocation:
    return StockLocation(
        location_id=row["location_id"],
        location_name=row["location_name"],
        product_count=row["product_count"],
        stock_on_hand=Decimal(row["stock_on_hand"]),
    )


def _of_large(session: Session, entities: Iterable[str]) -> dict[str, StoredFigures | None]:
    """The figures measured last of entities whose tables are too large to be read when asked for; None: never."""
    names = list(entities)
    quick = _quickly_measured(session, names)
    large = [name for name in names if name not in quick]
    stored = newest_figures(session, large)
    return {name: stored.get(name) for name in large}


def _quickly_measured(session: Session, names: Iterable[str]) -> set[str]:
    """Which entities have tables so small that reading them whole takes some milliseconds."""
    tables = {
        name: [ENTITIES[name].table.fullname, *(each.fullname for each in ENTITIES[name].line_tables.values()),
               *OTHER_TABLES.get(name, ())]
        for name in names
    }  # fmt: skip
    every = sorted({table for each in tables.values() for table in each})
    sizes = {row.name: row.bytes for row in session.execute(_SIZES, {"tables": every})}
    return {name for name, each in tables.items() if sum(sizes[table] for table in each) <= MEASURED_AT_ONCE_BYTES}
