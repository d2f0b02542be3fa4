"""Which rows of an append-only table are all there: rows commit in another order than their ids."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

# In this order: whoever took an id up to the highest one holds its lock by the time locks are looked at, or has ended.
_HIGHEST = text("select coalesce(pg_sequence_last_value(cast(pg_get_serial_sequence(:table, 'id') as regclass)), 0)")
_WRITERS = text("""
select distinct virtualtransaction from pg_locks
where locktype = 'relation' and relation = cast(:table as regclass) and mode = 'RowExclusiveLock' and granted
  and database = (select oid from pg_database where datname = current_database())
  and pid is distinct from pg_backend_pid()
""")


def highest_id(session: Session, table: str) -> int:
    """The highest id anybody took, whether its row is there already or not."""
    return int(session.execute(_HIGHEST, {"table": table}).scalar_one())


def finished_up_to(session: Session, table: str, waits: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
    """The id up to which every row of `table` is there that will ever be, and what to wait for beyond it.

    `waits`: the highest id and its writers as a look before this one saw them; 0 when nothing new is known to be whole.
    """
    highest = highest_id(session, table)
    writers = set(session.execute(_WRITERS, {"table": table}).scalars())
    if not writers:
        return highest, {}
    now = {"id": highest, "writers": sorted(writers)}
    if not waits:
        return 0, now
    # As long as one of those it waited for writes on, a newer mark would only wait longer.
    return (0, dict(waits)) if writers & set(waits["writers"]) else (int(waits["id"]), now)
