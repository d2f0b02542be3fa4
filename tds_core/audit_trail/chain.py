"""The hash chain: seals, each tied by its digest to the one before, and the head that names the newest.

Only the transaction that holds the lock of the head may append.
"""

import dataclasses
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail.seal_keys import SealKey
from tds_models.db import Lock

ROWS, RETIRED, RESTARTED, ERASED = "rows", "retired", "restarted", "erased"
#: The number of the seal with which the chain was begun anew last, in SQL; 0 without one.
LAST_RESTART = "(select coalesce(max(number), 0) from tds_audit_seals where kind = 'restarted')"
#: The previous digest of the first seal.
BEGINNING = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A link of the chain; see `tds_models.audit_trail.AuditSeal`. `ids` is PostgreSQL's text of a multirange."""

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
    note: str | None = None

    def digest_with(self, secret: bytes) -> bytes:
        """The keyed digest (HMAC-SHA-256) of all other fields, the previous seal's digest included."""
        content = (
            self.number, self.kind, self.trail, list(self.columns), self.first_id, self.last_id, self.row_count,
            self.ids, sha256(self.digests).hexdigest(), self.begins_at, self.key_id.hex(), self.previous.hex(),
            self.sealed_at.astimezone(UTC).isoformat(), *([self.note] if self.note is not None else ()),
        )  # fmt: skip
        return hmac.new(secret, msgspec.json.encode(content), "sha256").digest()


class WriterWait(TypedDict):
    """What sealing a table waits for: `writers`, transactions that may still write ids up to `id`."""

    id: int
    writers: list[str]


@dataclass(slots=True)
class ChainHead:
    """The newest seal's number and digest, and by table what sealing waits for.

    See `tds_models.audit_trail.AuditHead`.
    """

    number: int = 0
    digest: bytes = BEGINNING
    waits: dict[str, WriterWait] = field(default_factory=dict)


_COLUMNS = """
number, kind, trail, columns, first_id, last_id, row_count, ids::text as ids, digests, begins_at, key_id, previous,
digest, sealed_at, note"""
_NUMBERS = text("select number from tds_audit_seals order by number")
_READ = text(f"select {_COLUMNS} from tds_audit_seals where number = :number")
_INSERT = text("""
insert into tds_audit_seals (number, kind, trail, columns, first_id, last_id, row_count, ids, digests, begins_at,
                             key_id, previous, digest, sealed_at, note)
values (:number, :kind, :trail, :columns, :first_id, :last_id, :row_count, cast(:ids as int8multirange), :digests,
        :begins_at, :key_id, :previous, :digest, :sealed_at, :note)
""")
_LOCK = Lock.AUDIT_HEAD.until_commit()
_READ_HEAD = text("select number, digest, waits from tds_audit_head where id = 1")
_WRITE_HEAD = text("""
insert into tds_audit_head (id, number, digest, waits) values (1, :number, :digest, cast(:waits as jsonb))
on conflict (id) do update set number = excluded.number, digest = excluded.digest, waits = excluded.waits
""")
_NOW = text("select clock_timestamp()")


def seal_numbers(session: Session) -> list[int]:
    """The numbers of all seals, in order."""
    return list(session.execute(_NUMBERS).scalars())


def read_seal(session: Session, number: int) -> Seal:
    """The seal of a number that exists."""
    row = dict(session.execute(_READ, {"number": number}).mappings().one())
    binary = {name: bytes(row[name]) for name in ("digests", "key_id", "previous", "digest")}
    return Seal(**{**row, **binary})


def lock_head(session: Session) -> ChainHead:
    """The head, locked until the transaction ends."""
    session.execute(_LOCK)
    return read_head(session)


def read_head(session: Session) -> ChainHead:
    """The head as it stands, not locked."""
    row = session.execute(_READ_HEAD).mappings().first()
    return ChainHead(row["number"], bytes(row["digest"]), dict(row["waits"])) if row else ChainHead()


def write_head(session: Session, head: ChainHead) -> None:
    """Store the head."""
    waits = msgspec.json.encode(head.waits).decode()
    session.execute(_WRITE_HEAD, {"number": head.number, "digest": head.digest, "waits": waits})


def append(session: Session, head: ChainHead, key: SealKey, **content: Any) -> Seal:
    """Append a seal with the fields `content` behind `head`, and advance `head` to it without storing it."""
    now = session.execute(_NOW).scalar_one()
    seal = Seal(
        number=head.number + 1, previous=head.digest, key_id=key.id, sealed_at=now, digest=b"", **content
    )  # fmt: skip
    seal = dataclasses.replace(seal, digest=seal.digest_with(key.secret))
    params = {name: getattr(seal, name) for name in Seal.__slots__}
    session.execute(_INSERT, {**params, "columns": list(seal.columns)})
    head.number, head.digest = seal.number, seal.digest
    return seal
