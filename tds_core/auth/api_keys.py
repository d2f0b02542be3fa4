"""API keys: made once and shown once, known again by their digest, ended by time or by an operator."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tds_core.auth import credentials
from tds_core.auth.principal import NotKnownError, Principal, PrincipalKind, UnauthorizedError, UnfitError
from tds_core.pagination import Row
from tds_models.auth import ApiKey, Role

_KIND = b"tds-api-key"
_SPELLING = re.compile(r"tds_([0-9a-f]{8})_([\w-]{20,100})")
_SCOPE = re.compile(r"[a-z][a-z0-9_-]{0,60}(/[a-z0-9_-]{1,60}){0,4}")
_NOBODYS = credentials.digest(credentials.new_secret(), kind=_KIND)
USE_SECONDS = 60  # how exactly it is known when a key was last used

#: Nobody sees more of a key than this.
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
) -> tuple[Row, str]:
    """A new key: its row, and the key itself, which nobody can show again. Raises UnfitError."""
    name = name.strip()
    if not 1 <= len(name) <= 100 or "\x00" in name:
        raise UnfitError("A key has a name of 1 to 100 characters that says what it is for.")
    wrong = [scope for scope in scopes if not _SCOPE.fullmatch(scope)]
    if wrong:
        raise UnfitError(f"A scope is how paths behind /api/tds/ begin (entities, zoho/quota), not {wrong[0]!r:.80}.")
    if expires_at is not None and expires_at <= _now(session):
        raise UnfitError("A key cannot end before it begins.")
    prefix, secret = secrets.token_hex(4), credentials.new_secret()
    key = ApiKey(
        prefix=prefix, name=name, role=role.value, scopes=sorted(set(scopes)), created_by=by, expires_at=expires_at,
        digest=credentials.digest(secret, kind=_KIND, of=prefix),
    )  # fmt: skip
    session.add(key)
    session.flush()
    return key_named(session, prefix), f"tds_{prefix}_{secret}"


def keys(session: Session, *, with_ended: bool = False) -> list[Row]:
    """The keys, the newest first; those that are revoked or expired if asked for. Never what opens."""
    statement = select(*_SHOWN).order_by(ApiKey.id.desc())
    if not with_ended:
        lasting = ApiKey.expires_at.is_(None) | (ApiKey.expires_at > func.now())
        statement = statement.where(ApiKey.revoked_at.is_(None), lasting)
    return [dict(row) for row in session.execute(statement).mappings()]


def key_named(session: Session, prefix: str) -> Row:
    """One key by its prefix. Raises NotKnownError."""
    row = session.execute(select(*_SHOWN).where(ApiKey.prefix == prefix)).mappings().one_or_none()
    if row is None:
        raise NotKnownError(f"There is no key {prefix[:80]!r}.")
    return dict(row)


def revoke_key(session: Session, prefix: str, *, by: str) -> Row:
    """End a key now; one that is revoked stays as it was. Raises NotKnownError."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_by=by)
    )
    return key_named(session, prefix)


def caller_of_key(session: Session, presented: str, *, address: str | None = None) -> Principal:
    """Who presents a key. Raises UnauthorizedError; why a key no longer opens is told only to who has it."""
    spelled = _SPELLING.fullmatch(presented)
    prefix, secret = spelled.groups() if spelled else ("", presented)
    statement = select(ApiKey, func.now().label("now")).where(ApiKey.prefix == prefix)
    found = session.execute(statement).one_or_none()
    key: Any = found[0] if found else None
    if not credentials.fits(key.digest if key else _NOBODYS, secret, kind=_KIND, of=prefix) or found is None:
        raise UnauthorizedError("This key opens nothing here.")
    now = found[1]
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
