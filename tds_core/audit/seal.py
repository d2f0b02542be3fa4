"""Sealing: takes the rows that no running transaction can still precede, and links them into the chain.

Rows get their ids before they commit, so a row can appear behind others with greater ids. An id up to which nothing can
appear any more is found without a word from the writers: whoever may still write a smaller one holds a lock on the
table since before it took that id.

Which rows of an append-only table are all there: rows commit in another order than their ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit import chain as heads
from tds_core.audit.chain import ROWS, Head, Seal
from tds_core.audit.keys import SealKey
from tds_core.audit.row_digests import TRAILS, Trail, digests_of, fix_spelling

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


log = structlog.get_logger(__name__)

ROWS_OF_A_SEAL = 5000
SEALS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one round of sealing did. `more`: there are rows that could be sealed at once; `waits`: for writers."""

    seals: tuple[Seal, ...]
    more: bool
    waits: bool

    @property
    def row_count(self) -> int:
        """How many rows were sealed."""
        return sum(seal.row_count for seal in self.seals)


def seal(session: Session, key: SealKey) -> Sealed:
    """Seal what can be sealed, some thousand rows at most; the caller commits."""
    fix_spelling(session)
    head = heads.take(session)
    seals: list[Seal] = []
    for trail in TRAILS.values():
        upto, waits = finished_up_to(session, trail.name, head.waits.get(trail.name))
        head.waits = {name: each for name, each in {**head.waits, trail.name: waits}.items() if each}
        while len(seals) < SEALS_AT_ONCE and (made := _seal_some(session, head, key, trail, upto)):
            seals.append(made)
    heads.put(session, head)
    return Sealed(tuple(seals), more=len(seals) >= SEALS_AT_ONCE, waits=bool(head.waits))


def tell(sealed: Sealed) -> None:
    """Say in the log where the chain ended: kept elsewhere, that line proves that the end was not cut off."""
    if sealed.seals:
        last = sealed.seals[-1]
        log.info("audit_sealed", row_count=sealed.row_count, number=last.number, digest=last.digest.hex())


_LAST = "coalesce((select max(last_id) from tds_audit_seals where trail = :trail), 0)"


def _seal_some(session: Session, head: Head, key: SealKey, trail: Trail, upto: int) -> Seal | None:
    digests = digests_of(trail, trail.columns)
    statement = text(f"""
        select count(*) as row_count, min(id) as first_id, max(id) as last_id,
               cast(range_agg(int8range(id, id, '[]')) as text) as ids, string_agg(digest, '' order by id) as digests
        from ({digests} where t.id > {_LAST} and t.id <= :upto order by t.id limit :limit) r""")
    params = {"trail": trail.name, "upto": upto, "limit": ROWS_OF_A_SEAL}
    found = dict(session.execute(statement, params).mappings().one())
    if not found["row_count"]:
        return None
    found["digests"] = bytes(found["digests"])
    return heads.append(session, head, key, kind=ROWS, trail=trail.name, columns=trail.columns, begins_at=None, **found)
