"""Resting: while back-fill's share of an API's quota is used, its work stays in the queue, unclaimed and unannounced.

One row says so for all workers and the dispatcher; the thousands of items that wait need not be touched.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sources.errors import SourceError

# A place that is free again every second is not worth claiming records for every second.
LEAST_SECONDS = 3.0
# The quota may be raised, or corrected by what the source says, so it is asked again now and then.
MOST_SECONDS = 900.0

REST = text("""
insert into tds_backfill_rests (source, api, rests_until, reason)
values (:source, :api, clock_timestamp() + make_interval(secs => :seconds), :reason)
on conflict (source, api) do update set rests_until = excluded.rests_until, reason = excluded.reason
""")


def rest(session: Session, *, source: str, api: str, refusal: SourceError) -> None:
    """Leave `api` to more urgent calls for about as long as `refusal` says."""
    seconds = min(max(refusal.after_seconds, LEAST_SECONDS), MOST_SECONDS)
    session.execute(REST, {"source": source, "api": api, "seconds": seconds, "reason": str(refusal)[:300]})
