"""Erasure notes: seals which say that personal values were erased from sealed rows, by whom and why.

A note has the digest of each row before and after. Verification accepts such a row, and only one that stands as a note
says; a note is a seal, so none can be made without the key of seals.
"""

import hmac
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain
from tds_core.audit_trail.chain import ERASED, LAST_RESTART, ROWS, ChainHead, Seal
from tds_core.audit_trail.row_digests import DIGEST_BYTES, SEALED_TABLES, digests_of, fix_spelling
from tds_core.audit_trail.seal_keys import SealKey

#: The table a note is about that erased no sealed row.
NO_TABLE = "tds_audit_seals"

_RANGE = re.compile(r"\[(\d+),(\d+)\)")
_COVERING = text(f"""
select w.id, s.columns from unnest(cast(:ids as bigint[])) w (id)
cross join lateral (
    select columns from tds_audit_seals where trail = :trail and kind = '{ROWS}' and number > {LAST_RESTART}
      and last_id >= w.id and ids @> w.id order by last_id limit 1
) s
""")
_ERASE = text("select tds_erase_history(:table, :column, cast(:ids as bigint[]), cast(:contents as text[]))")
_NOTES = text(f"""
select number from tds_audit_seals
where kind = '{ERASED}' and trail = :trail and number > :number and columns = cast(:columns as text[])
  and first_id <= :last_id and last_id >= :first_id order by number
""")
_IDS = text("""
select coalesce(cast(range_agg(int8range(id, id, '[]')) as text), '{}') from unnest(cast(:ids as bigint[])) r (id)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedContent:
    """What a column of a sealed row is to hold once personal values are erased from it; JSON as text."""

    table: str
    column: str
    id: int
    content: str


def erase(session: Session, key: SealKey, contents: Sequence[ErasedContent], *, note: str) -> list[Seal]:
    """Write `contents` and append the notes that say so, in one transaction. Returns the notes, at least one.

    PostgreSQL refuses contents that are more than what stood there with parts replaced by the mark.
    """
    fix_spelling(session)
    head = chain.lock_head(session)
    by_table: dict[str, list[ErasedContent]] = defaultdict(list)
    for each in contents:
        by_table[each.table].append(each)
    notes: list[Seal] = []
    for table, erased in sorted(by_table.items()):
        notes += _erase_rows(session, key, head, table, erased, note)
    if not notes:
        notes.append(_append(session, key, head, NO_TABLE, (), {}, {}, note))
    chain.write_head(session, head)
    return notes


def _erase_rows(  # noqa: PLR0917 (one table's part of an erasure)
    session: Session, key: SealKey, head: ChainHead, table: str, erased: Sequence[ErasedContent], note: str
) -> Iterator[Seal]:
    ids = sorted({each.id for each in erased})
    by_columns: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in session.execute(_COVERING, {"trail": table, "ids": ids}):
        by_columns[tuple(row.columns)].append(row.id)
    before = {columns: _digests(session, table, columns, covered) for columns, covered in by_columns.items()}
    for column in sorted({each.column for each in erased}):
        parts = [each for each in erased if each.column == column]
        session.execute(_ERASE, {"table": table, "column": column, "ids": [each.id for each in parts],
                                 "contents": [each.content for each in parts]})  # fmt: skip
    for columns, covered in by_columns.items():
        after = _digests(session, table, columns, covered)
        yield _append(session, key, head, table, columns, before[columns], after, note)


def _digests(session: Session, table: str, columns: Sequence[str], ids: Sequence[int]) -> dict[int, bytes]:
    statement = text(f"{digests_of(SEALED_TABLES[table], columns)} where t.id = any(:ids) order by t.id")
    return {row.id: bytes(row.digest) for row in session.execute(statement, {"ids": list(ids)})}


def _append(  # noqa: PLR0917 (the parts of a seal)
    session: Session, key: SealKey, head: ChainHead, table: str, columns: Sequence[str],
    before: Mapping[int, bytes], after: Mapping[int, bytes], note: str,
) -> Seal:  # fmt: skip
    ids = session.execute(_IDS, {"ids": list(before)}).scalar_one()
    digests = b"".join(before[row_id] + after[row_id] for row_id in sorted(before))
    return chain.append(
        session, head, key, kind=ERASED, trail=table, columns=columns, first_id=min(before, default=0),
        last_id=max(before, default=0), row_count=len(before), ids=ids, digests=digests, begins_at=None, note=note,
    )  # fmt: skip


def noted_digests(session: Session, seal: Seal, keys: Mapping[bytes, bytes]) -> dict[int, bytes]:
    """By row id, the digests that rows `seal` covers have since they were erased, as unchanged notes of known keys say.

    A note counts for a row that had the digest it begins with: in its seal, or after the erasure before.
    """
    noted: dict[int, bytes] = {}
    expected: dict[int, bytes] = {}
    sought = {"trail": seal.trail, "number": seal.number, "columns": list(seal.columns),
              "first_id": seal.first_id, "last_id": seal.last_id}  # fmt: skip
    for number in session.execute(_NOTES, sought).scalars().all():
        note = chain.read_seal(session, number)
        secret = keys.get(note.key_id)
        if secret is None or not hmac.compare_digest(note.digest_with(secret), note.digest):
            continue  # the pass along the chain reports it
        for row_id, pair in zip(_ids(note.ids), _chunks(note.digests, 2 * DIGEST_BYTES), strict=True):
            expected = expected or expected_digests(seal)
            if noted.get(row_id, expected.get(row_id)) == pair[:DIGEST_BYTES]:
                noted[row_id] = pair[DIGEST_BYTES:]
    return noted


def expected_digests(seal: Seal) -> dict[int, bytes]:
    """By row id, the digests a seal of rows vouches for."""
    return dict(zip(_ids(seal.ids), _chunks(seal.digests, DIGEST_BYTES), strict=True))


def _ids(ranges: str) -> Iterator[int]:
    for first, end in _RANGE.findall(ranges):
        yield from range(int(first), int(end))


def _chunks(digests: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(digests), size):
        yield digests[start : start + size]
