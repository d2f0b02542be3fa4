"""Audit retention: removes the oldest sealed rows, whole seals at a time, and records the removal in a seal."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain
from tds_core.audit_trail.chain import LAST_RESTART, RETIRED, Seal
from tds_core.audit_trail.row_digests import SealedTable
from tds_core.audit_trail.seal_keys import SealKey

SEALS_AT_ONCE = 10

# Only whole seals are removed, so that every remaining row stays covered.
_OLD = text(f"""
select count(*) as seal_count, coalesce(max(last_id), 0) as last_id, coalesce(sum(row_count), 0) as row_count,
       coalesce(min(first_id), 0) as first_id
from (select * from (
          select s.*, bool_and(sealed_at < now() - make_interval(days => :days)) over (order by number) as is_old
          from tds_audit_seals s where trail = :trail and kind = 'rows' and number > {LAST_RESTART}
            and last_id > coalesce((select max(last_id) from tds_audit_seals
                                    where trail = :trail and kind = 'retired'), 0)) r
      where is_old order by number limit :limit) old
""")
# Only the owner of history may delete any of it, so a function of the owner's does: it removes whole seals of rows that
# are old enough, and seals nothing refers to any more. It returns the number the chain begins with from now on.
_RETIRE = text("select tds_retire_history(:table, :last_id)")


def retire(session: Session, key: SealKey, table: SealedTable, *, days: int) -> Seal | None:
    """Remove the oldest rows of `table` that were sealed more than `days` ago, at most `SEALS_AT_ONCE` seals of them.

    Rows, seals no longer needed, and the seal that records the removal are one transaction. None: nothing is so old.
    """
    head = chain.lock_head(session)
    sought = {"trail": table.name, "days": days, "limit": SEALS_AT_ONCE}
    old = dict(session.execute(_OLD, sought).mappings().one())
    if not old.pop("seal_count"):
        return None
    params = {"table": table.name, "last_id": old["last_id"]}
    begins_at = session.execute(_RETIRE, params).scalar_one()
    empty = {"columns": (), "ids": "{}", "digests": b"", "begins_at": begins_at}
    seal = chain.append(session, head, key, kind=RETIRED, trail=table.name, **old, **empty)
    chain.write_head(session, head)
    return seal
