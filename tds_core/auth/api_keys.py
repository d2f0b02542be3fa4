"""API keys: create, list, revoke, and authenticate a caller by one. A key is shown once; its digest is stored."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, cast

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tds_core.auth import credentials
from tds_core.auth.principal import InvalidArgumentError, Principal, PrincipalKind, UnauthorizedError
from tds_core.errors import NotFoundError
from tds_models.auth import ApiKey, Role

_KIND = b"tds-api-key"
_SPELLING = re.compile(r"tds_([0-9a-f]{8})_([\w-]{20,100})")
_SCOPE = re.compile(r"[a-z][a-z0-9_-]{0,60}(/[a-z0-9_-]{1,60}){0,4}")
_UNKNOWN_DIGEST = credentials.digest(credentials.new_secret(), kind=_KIND)
USE_SECONDS = 60  # `last_used_at` is written at most this often


class ApiKeyRow(TypedDict):
    """A key without its digest. `scopes`: beginnings of paths, empty for all; `last_used_from`: an address."""

    prefix: str
    name: str
    role: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str | None
    revoked_at: datetime | None
    revoked_by: str | None


_SHOWN = (
    ApiKey.prefix, ApiKey.name, ApiKey.role, ApiKey.scopes, ApiKey.created_at, ApiKey.created_by, ApiKey.expires_at,
    ApiKey.last_used_at, ApiKey.last_used_from, ApiKey.revoked_at, ApiKey.revoked_by,
)  # fmt: skip


def create_key(
    session: Session,
    *,
    name: str,
    role: Role,
    by: str,
    scopes: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKeyRow, str]:
    """Create a key. Returns its row and the key itself, which is not stored. Raises InvalidArgumentError."""
    name = name.strip()
    if not 1 <= len(name) <= 100 or "\x00" in name:
        raise InvalidArgumentError("A key has a name of 1 to 100 characters that says what it is for.")
    wrong = [scope for scope in scopes if not _SCOPE.fullmatch(scope)]
    if wrong:
        raise InvalidArgumentError(
            f"A scope is how paths behind /api/tds/ begin (entities, zoho/quota), not {wrong[0]!r:.80}."
        )
    if expires_at is not None and expires_at <= _now(session):
        raise InvalidArgumentError("A key cannot end before it begins.")
    prefix, secret = secrets.token_hex(4), credentials.new_secret()
    key = ApiKey(
        prefix=prefix, name=name, role=role.value, scopes=sorted(set(scopes)), created_by=by, expires_at=expires_at,
        digest=credentials.digest(secret, kind=_KIND, of=prefix),
    )  # fmt: skip
    session.add(key)
    session.flush()
    return key_named(session, prefix), f"tds_{prefix}_{secret}"


def keys(session: Session, *, with_ended: bool = False) -> list[ApiKeyRow]:
    """The keys, newest first; the revoked and expired ones too `with_ended`. Never the digest."""
    statement = select(*_SHOWN).order_by(ApiKey.id.desc())
    if not with_ended:
        valid = ApiKey.expires_at.is_(None) | (ApiKey.expires_at > func.now())
        statement = statement.where(ApiKey.revoked_at.is_(None), valid)
    return cast("list[ApiKeyRow]", [dict(row) for row in session.execute(statement).mappings()])


def key_named(session: Session, prefix: str) -> ApiKeyRow:
    """One key by its prefix. Raises NotFoundError."""
    row = session.execute(select(*_SHOWN).where(ApiKey.prefix == prefix)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no key {prefix[:80]!r}.")
    return cast("ApiKeyRow", dict(row))


def revoke_key(session: Session, prefix: str, *, by: str) -> ApiKeyRow:
    """Revoke a key; one that is revoked stays as it was. Raises NotFoundError."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_by=by)
    )
    return key_named(session, prefix)


def authenticate_key(session: Session, presented: str, *, address: str | None = None) -> Principal:
    """The principal of a presented key. Raises UnauthorizedError, with the reason only where the secret is right."""
    match = _SPELLING.fullmatch(presented)
    prefix, secret = match.groups() if match else ("", presented)
    statement = select(ApiKey, func.now().label("now")).where(ApiKey.prefix == prefix)
    row = session.execute(statement).one_or_none()
    key: Any = row[0] if row else None
    if not credentials.matches(key.digest if key else _UNKNOWN_DIGEST, secret, kind=_KIND, of=prefix) or row is None:
        raise UnauthorizedError("This API key is not valid here.")
    now = row[1]
    if key.revoked_at is not None:
        raise UnauthorizedError(f"The key {prefix} was revoked at {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
    if key.expires_at is not None and key.expires_at <= now:
        raise UnauthorizedError(f"The key {prefix} ended at {key.expires_at:%Y-%m-%d %H:%M} UTC.")
    if key.last_used_at is None or (now - key.last_used_at).total_seconds() >= USE_SECONDS:
        session.execute(
            update(ApiKey).where(ApiKey.id == key.id).values(last_used_at=func.now(), last_used_from=address)
        )
    return Principal(PrincipalKind.KEY, f"key:{prefix}", Role(key.role), tuple(key.scopes), key.expires_at)


def _now(session: Session) -> datetime:
    return session.execute(select(func.now())).scalar_one()
