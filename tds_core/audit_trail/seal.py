"""Sealing: links the rows that no running transaction can still precede into the hash chain.

Rows get their ids before they commit, so a row can appear behind others with greater ids. The id up to which nothing
can appear any more is found without help from the writers: a transaction that may still write a smaller id has held a
lock on the table since before it took that id.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain
from tds_core.audit_trail.chain import LAST_RESTART, ROWS, ChainHead, Seal, WriterWait
from tds_core.audit_trail.row_digests import SEALED_TABLES, SealedTable, digests_of, fix_spelling
from tds_core.audit_trail.seal_keys import SealKey

log = structlog.get_logger(__name__)

ROWS_OF_A_SEAL = 5000
SEALS_AT_ONCE = 10

# Read in this order: a transaction that took an id up to the highest holds its lock when locks are read, or has ended.
_HIGHEST = text("select coalesce(pg_sequence_last_value(cast(pg_get_serial_sequence(:table, 'id') as regclass)), 0)")
_WRITERS = text("""
select distinct virtualtransaction from pg_locks
where locktype = 'relation' and relation = cast(:table as regclass) and mode = 'RowExclusiveLock' and granted
  and database = (select oid from pg_database where datname = current_database())
  and pid is distinct from pg_backend_pid()
""")
# Behind the last restart of the chain, whose seals cover every row again.
_LAST = f"""coalesce((select max(last_id) from tds_audit_seals where trail = :trail
    and number > {LAST_RESTART}), 0)"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The result of one round of sealing. `more`: more rows can be sealed at once; `waits`: some rows need writers
    to end first.
    """

    seals: tuple[Seal, ...]
    more: bool
    waits: bool

    @property
    def row_count(self) -> int:
        """How many rows were sealed."""
        return sum(seal.row_count for seal in self.seals)


def seal(session: Session, key: SealKey) -> Sealed:
    """Seal the complete rows of every table, at most `SEALS_AT_ONCE` seals of `ROWS_OF_A_SEAL` rows."""
    fix_spelling(session)
    head = chain.lock_head(session)
    seals: list[Seal] = []
    for table in SEALED_TABLES.values():
        upto, wait = complete_up_to(session, table.name, head.waits.pop(table.name, None))
        if wait:
            head.waits[table.name] = wait
        while len(seals) < SEALS_AT_ONCE and (made := _seal_rows(session, head, key, table, upto)):
            seals.append(made)
    chain.write_head(session, head)
    return Sealed(tuple(seals), more=len(seals) >= SEALS_AT_ONCE, waits=bool(head.waits))


def _seal_rows(session: Session, head: ChainHead, key: SealKey, table: SealedTable, upto: int) -> Seal | None:
    digests = digests_of(table, table.columns)
    statement = text(f"""
        select count(*) as row_count, min(id) as first_id, max(id) as last_id,
               cast(range_agg(int8range(id, id, '[]')) as text) as ids, string_agg(digest, '' order by id) as digests
        from ({digests} where t.id > {_LAST} and t.id <= :upto order by t.id limit :limit) r""")
    params = {"trail": table.name, "upto": upto, "limit": ROWS_OF_A_SEAL}
    content = dict(session.execute(statement, params).mappings().one())
    if not content["row_count"]:
        return None
    content["digests"] = bytes(content["digests"])
    return chain.append(
        session, head, key, kind=ROWS, trail=table.name, columns=table.columns, begins_at=None, **content
    )


def log_sealed(sealed: Sealed) -> None:
    """Log the end of the chain: kept elsewhere, that line proves that the end was not cut off."""
    if sealed.seals:
        last = sealed.seals[-1]
        log.info("audit_sealed", row_count=sealed.row_count, number=last.number, digest=last.digest.hex())


def complete_up_to(session: Session, table: str, wait: WriterWait | None) -> tuple[int, WriterWait | None]:
    """The id up to which no row of `table` can appear any more (0: not known), and what to wait for beyond it.

    `wait`: what the call before returned.
    """
    highest = highest_id(session, table)
    writers = set(session.execute(_WRITERS, {"table": table}).scalars())
    if not writers:
        return highest, None
    now = WriterWait(id=highest, writers=sorted(writers))
    if not wait:
        return 0, now
    # While a transaction it waits for is still writing, a newer mark would only wait longer.
    return (0, wait) if writers & set(wait["writers"]) else (int(wait["id"]), now)


def highest_id(session: Session, table: str) -> int:
    """The highest id taken by any transaction, whether its row is visible or not."""
    return int(session.execute(_HIGHEST, {"table": table}).scalar_one())
