"""Audit retention: removes the oldest sealed rows, whole seals at a time, and records the removal in a seal."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain
from tds_core.audit_trail.chain import RETIRED, Seal
from tds_core.audit_trail.keys import SealKey
from tds_core.audit_trail.row_digests import SealedTable

SEALS_AT_ONCE = 10

# Only whole seals are removed, so that every remaining row stays covered.
_OLD = text("""
select count(*) as seal_count, coalesce(max(last_id), 0) as last_id, coalesce(sum(row_count), 0) as row_count,
       coalesce(min(first_id), 0) as first_id
from (select * from (
          select s.*, bool_and(sealed_at < now() - make_interval(days => :days)) over (order by number) as is_old
          from tds_audit_seals s where trail = :trail and kind = 'rows'
            and last_id > coalesce((select max(last_id) from tds_audit_seals
                                    where trail = :trail and kind = 'retired'), 0)) r
      where is_old order by number limit :limit) old
""")
# The triggers allow deletes from the table this names, until the transaction ends.
_ALLOW = text("select set_config('tds.retiring', :table, true)")
# The first seal that is still needed: one whose rows are kept, or the newest retirement of a table.
_BEGINS_AT = text("""
with cut as (
    select trail, max(last_id) as last_id, max(number) as number from tds_audit_seals where kind = 'retired'
    group by trail
    union all select :trail, :last_id, :next
)
select least(:next, (
    select min(s.number) from tds_audit_seals s where s.trail <> :trail and s.kind = 'retired'
      and s.number = (select max(number) from cut where cut.trail = s.trail)), (
    select min(s.number) from tds_audit_seals s where s.kind = 'rows'
      and s.last_id > coalesce((select max(last_id) from cut where cut.trail = s.trail), 0)))
""")


def retire(session: Session, key: SealKey, table: SealedTable, *, days: int) -> Seal | None:
    """Remove the oldest rows of `table` that were sealed more than `days` ago, at most `SEALS_AT_ONCE` seals of them.

    Rows, seals no longer needed, and the seal that records the removal are one transaction. None: nothing is so old.
    """
    head = chain.lock_head(session)
    params: dict[str, Any] = {"trail": table.name, "days": days, "limit": SEALS_AT_ONCE}
    old = dict(session.execute(_OLD, params).mappings().one())
    if not old.pop("seal_count"):
        return None
    _remove(session, table.name, "id <= :upto", upto=old["last_id"])
    params |= {"last_id": old["last_id"], "next": head.number + 1}
    begins_at = session.execute(_BEGINS_AT, params).scalar_one()
    _remove(session, "tds_audit_seals", "number < :first", first=begins_at)
    empty = {"columns": (), "ids": "{}", "digests": b"", "begins_at": begins_at}
    seal = chain.append(session, head, key, kind=RETIRED, trail=table.name, **old, **empty)
    chain.write_head(session, head)
    return seal


def _remove(session: Session, table: str, condition: str, **params: int) -> None:
    session.execute(_ALLOW, {"table": table})
    session.execute(text(f"delete from {table} where {condition}"), params)
    session.execute(_ALLOW, {"table": ""})
