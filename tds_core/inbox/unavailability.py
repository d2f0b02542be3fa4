"""Webhooks that were answered 503: not stored, so counted by minute and reason, that it be known when and how many."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(slots=True)
class UnstoredTally:
    """So many of one reason within one minute, the first and the last of them."""

    count: int
    first_at: datetime
    last_at: datetime


_ADD = text("""
insert into tds_unstored_webhooks as u (minute, reason, webhook_count, first_at, last_at)
values (:minute, :reason, :count, :first_at, :last_at)
on conflict (minute, reason) do update set webhook_count = u.webhook_count + excluded.webhook_count,
    first_at = least(u.first_at, excluded.first_at), last_at = greatest(u.last_at, excluded.last_at)
""")


def add_unstored(session: Session, counted: Mapping[tuple[datetime, str], UnstoredTally]) -> None:
    """Add what one process counted, by minute and reason, to what others did."""
    rows = [
        {"minute": minute, "reason": reason, "count": each.count, "first_at": each.first_at, "last_at": each.last_at}
        for (minute, reason), each in sorted(counted.items())
    ]
    session.execute(_ADD, rows)
