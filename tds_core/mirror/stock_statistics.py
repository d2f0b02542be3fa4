"""Stock statistics: how much stock is mirrored, by location, how fresh it is, and the passes over it."""

from datetime import datetime
from decimal import Decimal
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync import run_queries
from tds_core.sync.run_queries import RunRow

_LEVELS = text("""
select clock_timestamp() as measured_at, false as is_estimated, count(*) as product_count,
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


class StockLocation(TypedDict):
    """The stock of one location."""

    location_id: str
    location_name: str | None
    product_count: int
    stock_on_hand: Decimal


class StockRunStats(TypedDict):
    """The passes over the stock in the last 24 hours."""

    run_count: int
    failed_count: int
    api_call_count: int | None
    changed_count: int | None
    average_seconds: float | None


class StockCounts(TypedDict):
    """How much stock is mirrored and how fresh it is, as it was at `measured_at`.

    `details_left`: products without their locations yet. `is_estimated`: only `product_count` is known, and about.
    """

    measured_at: datetime
    is_estimated: bool
    product_count: int
    details_left: int | None
    out_of_stock_count: int | None
    negative_count: int | None
    stock_on_hand: Decimal | None
    oldest_confirmed_at: datetime | None
    last_changed_at: datetime | None
    locations: list[StockLocation]


class StockStatus(StockCounts):
    """The same with the runs of the stock."""

    last_day: StockRunStats
    last_run: RunRow | None


def stock_status(session: Session, counts: StockCounts | None) -> StockStatus:
    """The statistics of the stock, with its newest run; it is counted now unless `counts` has it."""
    newest = run_queries.runs(session, entity="stock_level", limit=1).items
    row = {
        **(counts or _stock_counts(session)),
        "last_day": dict(session.execute(_PASSES).mappings().one()),
        "last_run": newest[0] if newest else None,
    }
    return cast("StockStatus", row)


def _stock_counts(session: Session) -> StockCounts:
    locations = [dict(location) for location in session.execute(_LOCATIONS).mappings()]
    return cast("StockCounts", {**session.execute(_LEVELS).mappings().one(), "locations": locations})
