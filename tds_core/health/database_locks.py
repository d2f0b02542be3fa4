"""Database locks: which sessions hold what TDS waits for, or keep tables of TDS locked, and whom they block.

Work that meets a locked row is put off and waits without a session, so a holder may block TDS while no session waits:
sessions of other programs that may write to tables of TDS are shown in any case.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.observability.redaction import redact_text
from tds_core.records.row_lock_waits import WAITS
from tds_models.entities import ENTITIES

MOST_HOLDERS, MOST_TABLES, MOST_WAITERS = 100, 10, 50
#: So much of a statement is shown: its first words, none of its values.
SHOWN_WORDS = 6
#: What TDS's own sessions are called.
OURS = "tds%"
_WORD = re.compile(r"[A-Za-z_][\w.\"]*|\*|,")


class Waiter(TypedDict):
    """A session that waits for a lock. `waits_since`: None where PostgreSQL does not tell."""

    pid: int
    application: str
    waits_since: datetime | None


class LockHolder(TypedDict):
    """A session with locks that are in the way of TDS, or may be.

    `since`: when its transaction began; `tables`: tables of TDS it has locked, with the strongest mode of each;
    `blocks`: the sessions that wait for it; `waiting_item_count`: work items put off because of it; `statement`: the
    first words of what it does, or did last. What PostgreSQL does not show of other users' sessions is None.
    """

    pid: int
    user: str | None
    application: str
    address: str | None
    state: str | None
    since: datetime | None
    state_since: datetime | None
    tables: dict[str, str]
    blocks: list[Waiter]
    waiting_item_count: int
    statement: str | None


# Row locks do not show in pg_locks, so a transaction that has locked or changed rows of a table counts as its holder.
_HOLDERS = text("""
with ours as (
    select c.oid, n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and (n.nspname = any(:schemas) or c.relname like 'tds\\_%')
), waiting as (
    select w.pid, w.application_name as application, l.waitstart as waits_since, holder
    from pg_stat_activity w cross join lateral unnest(pg_blocking_pids(w.pid)) holder
    left join lateral (select min(waitstart) as waitstart from pg_locks where pid = w.pid and not granted) l on true
    where w.datname = current_database() and w.wait_event_type = 'Lock'
), locked as (
    select l.pid, o.name, max(case l.mode when 'AccessExclusiveLock' then 8 when 'ExclusiveLock' then 7
        when 'ShareRowExclusiveLock' then 6 when 'ShareLock' then 5 when 'ShareUpdateExclusiveLock' then 4
        when 'RowExclusiveLock' then 3 else 2 end) as strength
    from pg_locks l join ours o on o.oid = l.relation
    where l.granted and l.mode <> 'AccessShareLock' and l.pid <> pg_backend_pid()
      and l.database = (select oid from pg_database where datname = current_database())
    group by l.pid, o.name
), blocking as (
    select holder as pid, jsonb_agg(jsonb_build_object('pid', pid, 'application', application,
        'waits_since', waits_since) order by waits_since, pid) as blocks
    from waiting group by holder
), tables as (
    select pid, jsonb_object_agg(name, strength) as tables from locked group by pid
)
select a.pid, a.usename as user, a.application_name as application, host(a.client_addr) as address, a.state,
       a.xact_start as since, a.state_change as state_since, a.query as statement,
       coalesce(t.tables, '{}') as tables, coalesce(b.blocks, '[]') as blocks
from pg_stat_activity a left join tables t using (pid) left join blocking b using (pid)
where a.pid <> pg_backend_pid() and (b.pid is not null or (t.pid is not null and a.application_name not like :ours))
order by b.pid is null, a.xact_start limit :most
""")
_WAITING_ITEMS = text("""
select substring(last_error from 'held by pid (\\d+)') as pid, count(*) as item_count from tds_sync_queue
where last_error like :waits group by 1
""")
_MODES: Mapping[int, str] = {
    2: "rows locked", 3: "rows written", 4: "vacuum or index", 5: "no writes", 6: "no writes", 7: "no writes",
    8: "nothing may read or write",
}  # fmt: skip


def lock_holders(session: Session) -> list[LockHolder]:
    """The sessions whose locks block others or may block TDS, those that block first, then the longest transaction."""
    schemas = sorted({str(entity.table.schema) for entity in ENTITIES.values()})
    rows = session.execute(_HOLDERS, {"schemas": schemas, "ours": OURS, "most": MOST_HOLDERS}).mappings().all()
    counts = {row.pid: row.item_count for row in session.execute(_WAITING_ITEMS, {"waits": f"{WAITS}%"})}
    return [_holder(dict(row), counts.get(str(row["pid"]), 0)) for row in rows]


def _holder(row: dict[str, Any], item_count: int) -> LockHolder:
    tables = sorted(row["tables"].items(), key=lambda each: (-each[1], each[0]))
    named = {name: _MODES[strength] for name, strength in tables[:MOST_TABLES]}
    blocks = [{**each, "waits_since": _moment(each["waits_since"])} for each in row["blocks"][:MOST_WAITERS]]
    statement = _beginning_of(row["statement"]) if row["statement"] else None
    return cast(
        "LockHolder",
        {**row, "tables": named, "blocks": blocks, "statement": statement, "waiting_item_count": item_count},
    )


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _beginning_of(statement: str) -> str:
    """The first words of a statement up to its first value: literals may be anybody's data."""
    words: list[str] = []
    for word in redact_text(statement[:500]).split():
        if len(words) == SHOWN_WORDS or _WORD.fullmatch(word.strip("(),;")) is None:
            break
        words.append(word)
    return f"{' '.join(words)} …" if words else "…"
