"""The head of the chain: its newest number and digest. Who holds it, held by a lock, is the one that may append."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.trail import chain
from tds_core.trail.chain import BEGINNING, Seal
from tds_core.trail.keys import SealKey
from tds_models.locks import Lock


@dataclass(slots=True)
class Head:
    """Where the chain ends, and what sealing waits for; see `tds_models.seals.AuditHead`."""

    number: int = 0
    digest: bytes = BEGINNING
    waits: dict[str, Any] = field(default_factory=dict)


_LOCK = Lock.AUDIT_HEAD.until_commit()
_READ = text("select number, digest, waits from tds_audit_head where id = 1")
_WRITE = text("""
insert into tds_audit_head (id, number, digest, waits) values (1, :number, :digest, cast(:waits as jsonb))
on conflict (id) do update set number = excluded.number, digest = excluded.digest, waits = excluded.waits
""")
_NOW = text("select clock_timestamp()")


def take(session: Session) -> Head:
    """The head, ours until the transaction ends."""
    session.execute(_LOCK)
    return read(session)


def read(session: Session) -> Head:
    """The head as it stands."""
    row = session.execute(_READ).mappings().first()
    return Head(row["number"], bytes(row["digest"]), dict(row["waits"])) if row else Head()


def put(session: Session, head: Head) -> None:
    """Write the head down."""
    waits = msgspec.json.encode(head.waits).decode()
    session.execute(_WRITE, {"number": head.number, "digest": head.digest, "waits": waits})


def append(session: Session, head: Head, key: SealKey, **said: Any) -> Seal:
    """Append a seal that says `said` behind `head`, which moves on to it."""
    now = session.execute(_NOW).scalar_one()
    seal = Seal(
        number=head.number + 1, previous=head.digest, key_id=key.id, sealed_at=now, digest=b"", **said
    )  # fmt: skip
    seal = dataclasses.replace(seal, digest=seal.digest_with(key.secret))
    chain.add(session, seal)
    head.number, head.digest = seal.number, seal.digest
    return seal
