"""Statements of agreement: dated, signed with the seal key, and chained, so that a later reader can check them.

A statement repeats what a comparison found: counts, which records differ, the root and the buckets of each side, how
each field is proven, and the calls it took. Nothing is stated of a comparison that left anything unproven.
"""

import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail.chain import BEGINNING
from tds_core.audit_trail.seal_keys import SealKey, seal_key
from tds_core.comparison.content_hashes import compared_names, root_of
from tds_core.comparison.stated_differences import StatedDifferences, contradictions, differences_by_entity, stated
from tds_core.config.settings import Settings
from tds_core.errors import NotFoundError, TdsError
from tds_models.comparison import Agreement
from tds_models.db import Lock
from tds_models.entities import ENTITIES

#: The layout of a statement's body, and the earlier ones. The first named no records that differ.
FORMAT = 2
FORMATS = (1, FORMAT)


class StatementError(TdsError):
    """A statement is not what was signed, or contradicts itself."""

    code = "statement_invalid"


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement as it was signed; `body` is JSON text, digests are hexadecimal in its own JSON."""

    number: int
    body: str
    key_id: str
    previous: str
    digest: str
    made_at: datetime

    def content(self) -> dict[str, Any]:
        """The body, decoded. Raises StatementError."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise StatementError(f"The body of the statement is not JSON: {error}.") from None


def _digest(key: bytes, *, number: int, body: str, key_id: str, previous: str, made_at: datetime) -> str:
    content = [number, sha256(body.encode()).hexdigest(), key_id, previous, made_at.astimezone(UTC).isoformat()]
    return hmac.new(key, msgspec.json.encode(content), "sha256").hexdigest()


_COMPARISON = text("""
select id, requested_at, ended_at, agreement, score, seed, sample_size from tds_comparisons where id = :id
""")
_PARTS = text("""
select p.*, coalesce(f.started_at, r.started_at) as list_read_at
from tds_comparison_reports p join tds_sync_runs r on r.id = p.run_id
left join tds_sync_runs f on f.id = p.follows_run_id where p.comparison_id = :id
""")
_LAST = text("select number, digest, body, made_at from tds_statements order by number desc limit 1")
_CHANGES = text("""
select entity, operation, count(*) as n from tds_audit_trail where recorded_at > :since and recorded_at <= :until
group by 1, 2 order by 1, 2
""")
_INSERT = text("""
insert into tds_statements (number, comparison_id, body, key_id, previous, digest, made_at)
values (:number, :comparison, :body, decode(:key_id, 'hex'), decode(:previous, 'hex'), decode(:digest, 'hex'), :made_at)
""")
_NOW = text("select clock_timestamp()")


def make(session: Session, settings: Settings, comparison_id: int) -> SignedStatement:
    """State what a comparison found. Raises StatementError if it left anything unproven, ConfigError without a key."""
    key = seal_key(session, settings)
    session.execute(Lock.STATEMENTS.until_commit())
    comparison = session.execute(_COMPARISON, {"id": comparison_id}).mappings().one()
    parts = sorted(
        session.execute(_PARTS, {"id": comparison_id}).mappings(), key=lambda row: list(ENTITIES).index(row["entity"])
    )
    unproven = [f"{row['entity']}: {row['reason']}" for row in parts if row["reason"]]
    if comparison["agreement"] == Agreement.UNPROVEN or unproven:
        raise StatementError("Nothing is stated of what is not proven. " + "; ".join(unproven))
    last = session.execute(_LAST).mappings().first()
    now = session.execute(_NOW).scalar_one()
    found = differences_by_entity(session, comparison_id)
    entities = {row["entity"]: _entity(dict(row), found.get(row["entity"]) or stated(())) for row in parts}
    body = _body(dict(comparison), entities, _changes(session, last, now), settings)
    statement = _sign(key, number=last["number"] + 1 if last else 1, body=body, made_at=now,
                      previous=bytes(last["digest"]).hex() if last else BEGINNING.hex())  # fmt: skip
    session.execute(_INSERT, {**asdict(statement), "comparison": comparison_id})
    return statement


def _sign(key: SealKey, *, number: int, body: str, previous: str, made_at: datetime) -> SignedStatement:
    key_id = key.id.hex()
    digest = _digest(key.secret, number=number, body=body, key_id=key_id, previous=previous, made_at=made_at)
    return SignedStatement(number, body, key_id, previous, digest, made_at)


def _changes(session: Session, last: Any, now: datetime) -> dict[str, Any] | None:
    """What TDS changed since the last statement, by entity and operation; None without one."""
    if last is None:
        return None
    by_entity: dict[str, dict[str, int]] = {}
    for row in session.execute(_CHANGES, {"since": last["made_at"], "until": now}):
        by_entity.setdefault(row.entity, {})[row.operation] = row.n
    return {"number": last["number"], "made_at": last["made_at"], "changes": by_entity}


def _body(
    comparison: Mapping[str, Any],
    entities: Mapping[str, Mapping[str, Any]],
    since_last: Mapping[str, Any] | None,
    settings: Settings,
) -> str:
    parts = entities.values()
    content = {
        "format": FORMAT,
        "version": metadata.version("tds"),
        "source": "zoho",
        "organization_id": settings.zoho_organization_id,
        "comparison_id": comparison["id"],
        "as_of": min(part["list_read_at"] for part in parts),
        "ended_at": comparison["ended_at"],
        "agreement": comparison["agreement"],
        "score": str(comparison["score"]),
        "record_count": sum(part["there_count"] for part in parts),
        "equal_count": sum(part["equal_count"] for part in parts),
        "difference_count": sum(part["difference_count"] for part in parts),
        "api_call_count": sum(part["api_call_count"] for part in parts),
        "seed": comparison["seed"],
        "entities": entities,
        "since_last": since_last,
    }
    return msgspec.json.encode(content).decode()


def _entity(part: Mapping[str, Any], differences: StatedDifferences) -> dict[str, Any]:
    return {
        "agreement": part["agreement"],
        "list_read_at": part["list_read_at"],
        "here_count": part["here_count"],
        "there_count": part["there_count"],
        "equal_count": part["equal_count"],
        "difference_count": part["different_count"] + part["missing_here_count"] + part["missing_there_count"],
        "differences": differences,
        "root_here": bytes(part["root_here"]).hex(),
        "root_there": bytes(part["root_there"]).hex(),
        "compared": list(compared_names(ENTITIES[part["entity"]])),
        "grades": part["grades"],
        "api_call_count": part["api_call_count"],
        "buckets": part["buckets"],
    }


_READ = text("""
select number, body, encode(key_id, 'hex') as key_id, encode(previous, 'hex') as previous,
       encode(digest, 'hex') as digest, made_at
from tds_statements where number = coalesce(:number, (select max(number) from tds_statements))
""")


def read(session: Session, number: int | None = None) -> SignedStatement:
    """A statement by its number; None: the newest. Raises NotFoundError."""
    row = session.execute(_READ, {"number": number}).mappings().first()
    if row is None:
        named = f"There is no statement {number}." if number is not None else "Nothing has been stated yet."
        raise NotFoundError(f"{named} A comparison that leaves nothing unproven makes one: tds compare")
    return SignedStatement(**row)


def verify(statement: SignedStatement, keys: Mapping[bytes, bytes]) -> list[str]:
    """What is wrong with a statement: its signature, its roots, its sums. Empty: it is what was signed, and adds up.

    `keys`: the seal keys by id. Raises StatementError when none of them signed it.
    """
    secret = next((secret for key_id, secret in keys.items() if key_id.hex() == statement.key_id), None)
    if secret is None:
        raise StatementError(
            f"The statement was signed with key {statement.key_id[:80]}, which is not known here: set TDS_SECRET_KEY,"
            " or TDS_SECRET_KEY_PREVIOUS, to the one of that time."
        )
    expected = _digest(
        secret, number=statement.number, body=statement.body, key_id=statement.key_id, previous=statement.previous,
        made_at=statement.made_at,
    )  # fmt: skip
    is_signed = hmac.compare_digest(expected.encode(), statement.digest.encode())
    wrong = [] if is_signed else ["the signature is not of this text"]
    try:
        return wrong + _check_content(statement.content())
    except (ArithmeticError, AttributeError, LookupError, StatementError, TypeError, ValueError) as error:
        return [*wrong, f"its body is not that of a statement ({type(error).__name__}: {str(error)[:100]})"]


#: The sums of a statement, and what of its entities they add up.
_TOTALS = {"equal_count": "equal_count", "difference_count": "difference_count", "record_count": "there_count"}


def _check_content(content: Mapping[str, Any]) -> list[str]:
    """What contradicts itself in the body of a statement. Raises whatever a body of another shape leads to."""
    parts = content["entities"]
    if content["format"] not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        return [f"its format is {content['format']!r}, and this version of TDS knows {known}"]
    wrong = [each for name, part in parts.items() for each in _check_entity(name, part)]
    for total, each in _TOTALS.items():
        added = sum(part[each] for part in parts.values())
        if added != content[total]:
            wrong.append(f"{total} is stated as {content[total]:,}, and the entities have {added:,}")
    if (content["agreement"] == Agreement.EQUAL) != (content["difference_count"] == 0):
        wrong.append(f"the agreement is stated as {content['agreement']}, and {content['difference_count']:,} differ")
    if content["format"] > 1:
        wrong += [each for name, part in parts.items() for each in contradictions(name, part)]
    return wrong


def _check_entity(name: str, part: Mapping[str, Any]) -> list[str]:
    buckets = [(int(count), int(total, 16)) for count, total in part["buckets"]]
    wrong = []
    if root_of(name, part["compared"], buckets).hex() != part["root_there"]:
        wrong.append(f"{name}: its buckets do not come to its root")
    if sum(count for count, _ in buckets) != part["there_count"]:
        wrong.append(f"{name}: its buckets do not have the {part['there_count']:,} records that are stated")
    if not part["difference_count"] and part["root_here"] != part["root_there"]:
        wrong.append(f"{name}: no difference is stated, and the roots of the two sides differ")
    return wrong


def to_json(statement: SignedStatement) -> bytes:
    """The statement as a file that `verify` can check without a database."""
    return msgspec.json.format(msgspec.json.encode(statement), indent=1)


def from_json(raw: bytes) -> SignedStatement:
    """The statement in a file. Raises StatementError."""
    try:
        return msgspec.json.decode(raw, type=SignedStatement)
    except msgspec.MsgspecError as error:
        raise StatementError(f"This is no statement of agreement: {error}.") from None
