"""Figures of the stock's sync: how much is mirrored, how fresh it is, and how its passes went."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.reading import runs

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


def figures(session: Session) -> dict[str, Any]:
    """The figures, with the newest run; quantities are exact."""
    newest = runs.runs(session, entity="stock_level", limit=1).items
    return {
        **session.execute(_LEVELS).mappings().one(),
        "locations": [dict(row) for row in session.execute(_LOCATIONS).mappings()],
        "last_day": dict(session.execute(_PASSES).mappings().one()),
        "last_run": newest[0] if newest else None,
    }
