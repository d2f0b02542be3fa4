"""The chain: what a seal says, and the digest that ties it to the seal before."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

ROWS, RETIRED = "rows", "retired"
#: What the first seal names as the digest before it.
BEGINNING = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A link of the chain; see `tds_models.seals.AuditSeal`. `ids` is PostgreSQL's text of a multirange."""

    number: int
    kind: str
    trail: str
    columns: Sequence[str]
    first_id: int
    last_id: int
    row_count: int
    ids: str
    digests: bytes
    begins_at: int | None
    key_id: bytes
    previous: bytes
    digest: bytes
    sealed_at: datetime

    def digest_with(self, secret: bytes) -> bytes:
        """The digest of all this says, and of the seal before, with a key."""
        said = (
            self.number, self.kind, self.trail, list(self.columns), self.first_id, self.last_id, self.row_count,
            self.ids, sha256(self.digests).hexdigest(), self.begins_at, self.key_id.hex(), self.previous.hex(),
            self.sealed_at.astimezone(UTC).isoformat(),
        )  # fmt: skip
        return hmac.new(secret, msgspec.json.encode(said), "sha256").digest()


_COLUMNS = """
number, kind, trail, columns, first_id, last_id, row_count, ids::text as ids, digests, begins_at, key_id, previous,
digest, sealed_at"""
_NUMBERS = text("select number from tds_audit_seals order by number")
_READ = text(f"select {_COLUMNS} from tds_audit_seals where number = :number")
_ADD = text("""
insert into tds_audit_seals (number, kind, trail, columns, first_id, last_id, row_count, ids, digests, begins_at,
                             key_id, previous, digest, sealed_at)
values (:number, :kind, :trail, :columns, :first_id, :last_id, :row_count, cast(:ids as int8multirange), :digests,
        :begins_at, :key_id, :previous, :digest, :sealed_at)
""")


def numbers(session: Session) -> list[int]:
    """The numbers of all seals, in order."""
    return list(session.execute(_NUMBERS).scalars())


def read(session: Session, number: int) -> Seal:
    """A seal that is there."""
    row = dict(session.execute(_READ, {"number": number}).mappings().one())
    binary = {name: bytes(row[name]) for name in ("digests", "key_id", "previous", "digest")}
    return Seal(**{**row, **binary})


def add(session: Session, seal: Seal) -> None:
    """Append a seal."""
    given = {name: getattr(seal, name) for name in Seal.__slots__}
    session.execute(_ADD, {**given, "columns": list(seal.columns)})
