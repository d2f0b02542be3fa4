"""Sessions of operators: log in by name and password, authenticate by a random token, log out; and CSRF tokens."""

import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from tds_core.auth import credentials
from tds_core.auth.credentials import verify_password
from tds_core.auth.operators import normalize_name
from tds_core.auth.principal import LoginRefusedError, Principal, PrincipalKind, UnauthorizedError
from tds_models.auth import Operator, OperatorSession, Role

_KIND = b"tds-session"
USE_SECONDS = 60  # `last_used_at` is written at most this often
_ENABLED_HASH = select(Operator.password_hash).where(Operator.disabled_at.is_(None))

#: Opens a transaction.
Scope = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lasts: without use, and at most."""

    idle_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class NewSession:
    """A new session: its operator, the token for the browser's cookie, and when it ends at the latest."""

    caller: Principal
    token: str
    ends_at: datetime


def digest_of(token: str) -> bytes:
    """The digest by which the session of a token is stored."""
    return credentials.digest(token, kind=_KIND)


def log_in(scope: Scope, *, name: str, password: str, lifetime: Lifetime, address: str | None) -> NewSession:
    """Begin a session with a new token. No transaction is open while the password is hashed.

    Raises LoginRefusedError, after the same time and with the same message whatever is wrong.
    """
    name = normalize_name(name)
    with scope() as session:
        stored = session.execute(_ENABLED_HASH.where(Operator.name == name)).scalar_one_or_none()
    if not verify_password(password, stored):
        raise LoginRefusedError("Wrong name or password.")
    with scope() as session:
        # The hash is compared again: the password may have been changed meanwhile.
        operator = session.execute(
            select(Operator).where(
                Operator.name == name, Operator.password_hash == stored, Operator.disabled_at.is_(None)
            )
        ).scalar_one_or_none()
        if operator is None:
            raise LoginRefusedError("Wrong name or password.")
        return _begin(session, operator, lifetime, address)


def _begin(session: Session, operator: Operator, lifetime: Lifetime, address: str | None) -> NewSession:
    token, now = credentials.new_secret(), session.execute(select(func.now())).scalar_one()
    ends_at = now + timedelta(seconds=lifetime.seconds)
    session.add(
        OperatorSession(
            token_digest=digest_of(token),
            operator_id=operator.id,
            remote_address=address,
            ends_at=ends_at,
        )
    )
    operator.last_login_at = now
    session.flush()
    return NewSession(_caller(operator), token, ends_at)


def authenticate_session(session: Session, token: str, *, lifetime: Lifetime) -> Principal:
    """The principal of a session token. Raises UnauthorizedError when there is no such session, or it ended."""
    statement = (
        select(OperatorSession, Operator, func.now().label("now"))
        .join(Operator, Operator.id == OperatorSession.operator_id)
        .where(OperatorSession.token_digest == digest_of(token))
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        raise UnauthorizedError("This session has ended. Log in again.")
    current, operator, now = row
    unused_seconds = (now - current.last_used_at).total_seconds()
    if current.ends_at <= now or unused_seconds > lifetime.idle_seconds or operator.disabled_at is not None:
        raise UnauthorizedError("This session has ended. Log in again.")
    if unused_seconds >= min(USE_SECONDS, lifetime.idle_seconds / 2):
        session.execute(
            update(OperatorSession)
            .where(OperatorSession.token_digest == current.token_digest)
            .values(last_used_at=func.now())
        )
    return _caller(operator)


def log_out(session: Session, token: str) -> None:
    """End a session; an unknown token is no error."""
    session.execute(delete(OperatorSession).where(OperatorSession.token_digest == digest_of(token)))


def csrf_token(token: str) -> str:
    """The token our own pages send with a change, derived from the session's token, which no other site can read."""
    return hmac.new(token.encode("utf-8", "surrogateescape"), b"tds-csrf", sha256).hexdigest()


def is_csrf_token(presented: str, token: str) -> bool:
    """Whether `presented` is the CSRF token of the session; takes constant time."""
    return hmac.compare_digest(presented.encode("utf-8", "surrogateescape"), csrf_token(token).encode())


def _caller(operator: Operator) -> Principal:
    return Principal(PrincipalKind.OPERATOR, operator.name, Role(operator.role))
