"""Unstored webhooks: those answered with 503 are counted by minute and reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(slots=True)
class UnstoredTally:
    """Webhooks of one reason within one minute: how many, the first and the last."""

    count: int
    first_at: datetime
    last_at: datetime


_ADD = text("""
insert into tds_unstored_webhooks as u (minute, reason, webhook_count, first_at, last_at)
values (:minute, :reason, :count, :first_at, :last_at)
on conflict (minute, reason) do update set webhook_count = u.webhook_count + excluded.webhook_count,
    first_at = least(u.first_at, excluded.first_at), last_at = greatest(u.last_at, excluded.last_at)
""")


def add_unstored(session: Session, tallies: Mapping[tuple[datetime, str], UnstoredTally]) -> None:
    """Add the counts of one process, by minute and reason, to those of the others."""
    rows = [
        {"minute": minute, "reason": reason, "count": each.count, "first_at": each.first_at, "last_at": each.last_at}
        for (minute, reason), each in sorted(tallies.items())
    ]
    session.execute(_ADD, rows)
