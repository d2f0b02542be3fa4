"""Row locks: which sessions hold locks on mirror rows that work waits for."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.backoff import backoff_seconds
from tds_core.errors import TdsError
from tds_models.entities.declaration import Entity

#: The beginning of the reason such work waits for; the health check searches for it.
WAITS = "waits for a lock"
# So many of those that wait are told apart; the others wait for the same, as far as anybody needs to know.
NAMED = 20
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0


class LockedError(TdsError):
    """Another transaction holds a lock on the record's row, or on its table. The record itself is sound."""

    code = "locked"
    retriable = True


def wait_seconds(waits: int, jitter: float) -> float:
    """How long a record waits that has waited `waits` times before; `jitter` in [0, 1) spreads the waiting records."""
    return backoff_seconds(waits, first=FIRST_SECONDS, longest=LONGEST_SECONDS) * (1 - jitter / 4)


def existing(session: Session, entity: Entity, ids: Sequence[str]) -> list[str]:
    """Those of `ids` that the mirror has a row of."""
    statement = text(
        f"select source_id from {entity.table.fullname} where source = :source and source_id = any(:ids)"
        " order by source_id"
    )
    return list(session.execute(statement, {"source": entity.stream.source, "ids": list(ids)}).scalars())


# A row's lock is the transaction in its xmax, unless several share it; then, and for tables, whoever has been in one
# of the tables the longest is named.
_HOLDERS = """
select r.source_id, h.* from ({query}) as r(source_id, xid) left join lateral (
    select a.pid, a.usename, a.application_name, host(a.client_addr) as address, a.xact_start
    from pg_locks l join pg_stat_activity a using (pid)
    where l.granted and a.pid <> pg_backend_pid() and (l.transactionid = r.xid or (
        l.locktype = 'relation' and l.relation = any(cast(:tables as regclass[])) and l.mode <> 'AccessShareLock'
        and l.database = (select oid from pg_database where datname = current_database())))
    order by l.locktype = 'transactionid' desc, a.xact_start limit 1
) h on true
"""


def held_by_others(session: Session, entity: Entity, ids: Sequence[str]) -> dict[str, LockedError]:
    """For each of `ids`, whose rows are locked: by whom, and since when."""
    query = f"select source_id, xmax from {entity.table.fullname} where source = :source and source_id = any(:ids)"
    params = {"source": entity.stream.source, "ids": list(ids[:NAMED])}
    found = {row.source_id: row for row in _holders(session, entity, query, params)}
    last = next(reversed(found.values()), None)
    return {
        source_id: LockedError(f"{WAITS} on {entity.table.fullname} {source_id}{_holder(found.get(source_id, last))}")
        for source_id in ids
    }


def table_held(session: Session, entity: Entity) -> LockedError:
    """Who holds the entity's table, or one of its lines' tables."""
    [row] = _holders(session, entity, "select '', null::xid", {})
    return LockedError(f"{WAITS} on {entity.table.fullname}{_holder(row)}")


def _holders(session: Session, entity: Entity, query: str, params: dict[str, Any]) -> Sequence[Any]:
    tables = [table.fullname for table in (entity.table, *entity.line_tables.values())]
    return session.execute(text(_HOLDERS.format(query=query)), {**params, "tables": tables}).all()


def _holder(row: Any) -> str:
    """The session that holds a lock, as far as PostgreSQL shows it; of other users' sessions it may show little."""
    if row is None or row.pid is None:
        return ""
    named = " ".join(filter(None, [row.usename, row.application_name, row.address and f"from {row.address}"]))
    since = f" since {row.xact_start.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if row.xact_start else ""
    return f", held by pid {row.pid} ({named}){since}"
