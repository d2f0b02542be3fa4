"""Rows held against their seal: all of them at once, and one by one only where that does not come out even."""

import re
from collections.abc import Iterator

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.trail.breaks import BreakKind, Proof
from tds_core.trail.chain import Seal
from tds_core.trail.trails import DIGEST_BYTES, TRAILS, Trail, digests_of

_RANGE = re.compile(r"\[(\d+),(\d+)\)")


def check_rows(session: Session, seal: Seal, after: int, proof: Proof) -> None:
    """Hold the rows with ids behind `after` up to the seal's last one against what `seal` says of them."""
    trail = TRAILS[seal.trail]
    digests = digests_of(trail, seal.columns)
    statement = text(f"""
        select count(*) as row_count, cast(range_agg(int8range(id, id, '[]')) as text) as ids,
               string_agg(digest, '' order by id) as digests
        from ({digests} where t.id > :after and t.id <= :upto) r""")
    found = session.execute(statement, {"after": after, "upto": seal.last_id}).mappings().one()
    proof.row_count += seal.row_count
    if found["ids"] != seal.ids or bytes(found["digests"] or b"") != seal.digests:
        _name_breaks(session, trail, seal, after, proof)


def _name_breaks(session: Session, trail: Trail, seal: Seal, after: int, proof: Proof) -> None:
    expected = dict(zip(_ids(seal.ids), _chunks(seal.digests), strict=True))
    there = _rows(session, trail, seal, after)
    for row_id in sorted(expected.keys() | there.keys()):
        row = there.get(row_id)
        if row is None:
            says = f"row {row_id} of {trail.name} was deleted; it was there when seal {seal.number} was made"
            proof.broke(BreakKind.DELETED, trail.name, row_id, says)
        elif row_id not in expected:
            says = f"{_named(trail, row)} was inserted; it was not there when seal {seal.number} was made"
            proof.broke(BreakKind.INSERTED, trail.name, row_id, says)
        elif bytes(row["digest"]) != expected[row_id]:
            says = f"{_named(trail, row)} was edited after seal {seal.number} was made"
            proof.broke(BreakKind.EDITED, trail.name, row_id, says)


def check_retired(session: Session, trail: Trail, upto: int, proof: Proof) -> None:
    """Whatever stands at or before the end of what was retired was put there afterwards."""
    said = ", ".join(f"t.{name}" for name in trail.said)
    statement = text(f"select t.id, {said} from {trail.name} t where t.id <= :upto order by t.id")
    for row in session.execute(statement, {"upto": upto}).mappings():
        says = f"{_named(trail, row)} was inserted; all rows up to {upto} were retired"
        proof.broke(BreakKind.INSERTED, trail.name, row["id"], says)


def _rows(session: Session, trail: Trail, seal: Seal, after: int) -> dict[int, RowMapping]:
    said = "".join(f", t.{name}" for name in trail.said)
    statement = text(f"""
        select d.id, d.digest{said} from ({digests_of(trail, seal.columns)} where t.id > :after and t.id <= :upto) d
        join {trail.name} t on t.id = d.id""")
    found = session.execute(statement, {"after": after, "upto": seal.last_id}).mappings()
    return {row["id"]: row for row in found}


def _named(trail: Trail, row: RowMapping) -> str:
    return f"row {row['id']} of {trail.name} ({', '.join(f'{name} {row[name]}' for name in trail.said)})"


def _ids(ranges: str) -> Iterator[int]:
    for first, end in _RANGE.findall(ranges):
        yield from range(int(first), int(end))


def _chunks(digests: bytes) -> Iterator[bytes]:
    for start in range(0, len(digests), DIGEST_BYTES):
        yield digests[start : start + DIGEST_BYTES]
