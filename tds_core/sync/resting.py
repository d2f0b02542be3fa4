"""Resting: while lists are read, or back-fill's share of an API's quota is used, its work stays in the queue, unclaimed
and unannounced.

One row says the latter for all workers and the dispatcher; the thousands of items that wait need not be touched.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sources.errors import SourceError

# A place that is free again every second is not worth claiming records for every second.
LEAST_SECONDS = 3.0
# The quota may be raised, or corrected by what the source says, so it is asked again now and then.
MOST_SECONDS = 900.0

#: Whether lists are being read, or will be within a minute: they come first, for a list call shows 200 records and a
#: detail one. What waits behind another run of its entity (a failing or a held one) keeps nobody waiting by itself.
LISTS_FIRST = """exists (
    select from tds_sync_runs p where p.mode in ('full', 'incremental') and p.state in ('queued', 'running')
      and (p.lease_token is not null or p.next_attempt_at <= now() + interval '1 minute')
      and not exists (select from tds_sync_runs o
                      where o.source = p.source and o.entity = p.entity and o.mode in ('full', 'incremental')
                        and (o.state = 'held' or (o.id < p.id and o.state in ('queued', 'running')))))"""

REST = text("""
insert into tds_backfill_rests (source, api, rests_until, reason)
values (:source, :api, clock_timestamp() + make_interval(secs => :seconds), :reason)
on conflict (source, api) do update set rests_until = excluded.rests_until, reason = excluded.reason
""")


def rest(session: Session, *, source: str, api: str, refusal: SourceError) -> None:
    """Leave `api` to more urgent calls for about as long as `refusal` says."""
    seconds = min(max(refusal.after_seconds, LEAST_SECONDS), MOST_SECONDS)
    session.execute(REST, {"source": source, "api": api, "seconds": seconds, "reason": str(refusal)[:300]})
