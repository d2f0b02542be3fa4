"""Retiring: history too old to keep goes from its beginning on, seal by seal, and a seal says that it went."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit import chain as heads
from tds_core.audit.chain import RETIRED, Seal
from tds_core.audit.keys import SealKey
from tds_core.audit.row_digests import Trail

SEALS_AT_ONCE = 10

# Only whole seals go: what is left is all vouched for.
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
# The triggers let those rows go whose table this names, until the transaction ends.
_ALLOW = text("select set_config('tds.retiring', :table, true)")
# The first seal that is still needed: one whose rows are kept, or the newest word on a table that was retired.
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


def retire(session: Session, key: SealKey, trail: Trail, *, days: int) -> Seal | None:
    """Remove the oldest rows of `trail` that were sealed more than `days` ago, some seals' worth at a time.

    Rows, seals nobody needs any more, and the seal that says so are one transaction. None: nothing is so old.
    """
    head = heads.take(session)
    params: dict[str, Any] = {"trail": trail.name, "days": days, "limit": SEALS_AT_ONCE}
    old = dict(session.execute(_OLD, params).mappings().one())
    if not old.pop("seal_count"):
        return None
    _remove(session, trail.name, "id <= :upto", upto=old["last_id"])
    params |= {"last_id": old["last_id"], "next": head.number + 1}
    begins_at = session.execute(_BEGINS_AT, params).scalar_one()
    _remove(session, "tds_audit_seals", "number < :first", first=begins_at)
    said = {"columns": (), "ids": "{}", "digests": b"", "begins_at": begins_at}
    seal = heads.append(session, head, key, kind=RETIRED, trail=trail.name, **old, **said)
    heads.put(session, head)
    return seal


def _remove(session: Session, table: str, condition: str, **given: int) -> None:
    session.execute(_ALLOW, {"table": table})
    session.execute(text(f"delete from {table} where {condition}"), given)
    session.execute(_ALLOW, {"table": ""})
