"""Reveals: an operator sees the personal data of one record for a while, because the action log says so and why.

The entry in the action log is what reveals; there is no other state that could disagree with it.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

#: The operations of the action log that begin and end a reveal.
REVEAL: Final = "reveals.reveal"
CONCEAL: Final = "reveals.conceal"
#: How long a reveal lasts.
REVEALED_FOR: Final = timedelta(minutes=15)

_NEWEST = text("""
select a.operation, a.recorded_at from tds_operator_actions a
where a.caller = :caller and a.recorded_at > now() - cast(:lasts as interval)
  and a.operation in (:reveal, :conceal) and a.outcome = 'done'
  and a.entity = :entity and a.source_ids @> array[cast(:id as text)]
order by a.id desc limit 1
""")


def revealed_until(session: Session, *, caller: str, entity: str, source_id: str) -> datetime | None:
    """The moment until which `caller` sees the personal data of a record; None while it is masked."""
    values = {"caller": caller, "entity": entity, "id": source_id, "lasts": REVEALED_FOR,
              "reveal": REVEAL, "conceal": CONCEAL}  # fmt: skip
    newest = session.execute(_NEWEST, values).one_or_none()
    if newest is None or newest.operation != REVEAL:
        return None
    recorded_at: datetime = newest.recorded_at
    return recorded_at + REVEALED_FOR
