"""Whether something is to be told: the dispatcher's question, answered without touching a row."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.outbound.spreading import TRAIL
from tds_core.trail.finished import highest_id

_DUE = text("""
select count(*) filter (where s.position < :highest or exists (
           select from tds_outbound_lanes l where l.subscription_id = s.id and l.next_attempt_at <= now())),
       (select count(distinct leased_by) from tds_outbound_lanes where lease_token is not null
        and next_attempt_at > now())
from tds_subscriptions s where s.state = 'active' and (s.rests_until is null or s.rests_until <= now())
""")


def due_subscriptions(session: Session) -> tuple[int, int]:
    """How many subscriptions have something to be done for, and how many workers are at it."""
    due, workers = session.execute(_DUE, {"highest": highest_id(session, TRAIL)}).one()
    return due, workers
