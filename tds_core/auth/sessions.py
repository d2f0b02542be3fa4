"""Sessions of operators: begun by name and password, known again by a random token, ended by time or by leaving."""

import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from tds_core.auth import credentials
from tds_core.auth.credentials import is_password
from tds_core.auth.operators import spelled
from tds_core.auth.principal import LoginRefusedError, Principal, PrincipalKind, UnauthorizedError
from tds_models.auth import Operator, OperatorSession, Role

_KIND = b"tds-session"
USE_SECONDS = 60  # how exactly it is known when a session was last used
_LETTING_IN = select(Operator.password_hash).where(Operator.disabled_at.is_(None))

#: Opens a transaction.
Scope = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lasts: unused, and in any case. Seconds."""

    idle_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that begins: whose it is, what the browser keeps, and when it ends at the latest."""

    caller: Principal
    token: str
    ends_at: datetime


def log_in(scope: Scope, *, name: str, password: str, lifetime: Lifetime, address: str | None) -> Begun:
    """Begin a session, always under a new token. No transaction is open while the password is hashed.

    Raises LoginRefusedError, after the same time and in the same words whatever is wrong.
    """
    name = spelled(name)
    with scope() as session:
        kept = session.execute(_LETTING_IN.where(Operator.name == name)).scalar_one_or_none()
    if not is_password(password, kept):
        raise LoginRefusedError("Name and password do not belong together here.")
    with scope() as session:
        # The hash is asked for again: a password that was changed meanwhile opens nothing.
        operator = session.execute(
            select(Operator).where(
                Operator.name == name, Operator.password_hash == kept, Operator.disabled_at.is_(None)
            )
        ).scalar_one_or_none()
        if operator is None:
            raise LoginRefusedError("Name and password do not belong together here.")
        return _begin(session, operator, lifetime, address)


def _begin(session: Session, operator: Operator, lifetime: Lifetime, address: str | None) -> Begun:
    token, now = credentials.new_secret(), session.execute(select(func.now())).scalar_one()
    ends_at = now + timedelta(seconds=lifetime.seconds)
    session.add(
        OperatorSession(
            token_digest=credentials.digest(token, kind=_KIND),
            operator_id=operator.id,
            remote_address=address,
            ends_at=ends_at,
        )
    )
    operator.last_login_at = now
    session.flush()
    return Begun(_caller(operator), token, ends_at)


def caller_of_session(session: Session, token: str, *, lifetime: Lifetime) -> Principal:
    """Whose session this is. Raises UnauthorizedError when there is none, or it ended."""
    statement = (
        select(OperatorSession, Operator, func.now().label("now"))
        .join(Operator, Operator.id == OperatorSession.operator_id)
        .where(OperatorSession.token_digest == credentials.digest(token, kind=_KIND))
    )
    found = session.execute(statement).one_or_none()
    if found is None:
        raise UnauthorizedError("This session has ended. Log in again.")
    begun, operator, now = found
    unused_seconds = (now - begun.last_used_at).total_seconds()
    if begun.ends_at <= now or unused_seconds > lifetime.idle_seconds or operator.disabled_at is not None:
        raise UnauthorizedError("This session has ended. Log in again.")
    if unused_seconds >= min(USE_SECONDS, lifetime.idle_seconds / 2):
        session.execute(
            update(OperatorSession)
            .where(OperatorSession.token_digest == begun.token_digest)
            .values(last_used_at=func.now())
        )
    return _caller(operator)


def log_out(session: Session, token: str) -> None:
    """End a session; ending none is no error."""
    session.execute(
        delete(OperatorSession).where(OperatorSession.token_digest == credentials.digest(token, kind=_KIND))
    )


def csrf_token(token: str) -> str:
    """What our own pages send along with a change. Made of the session's token, which no other site can read."""
    return hmac.new(token.encode("utf-8", "surrogateescape"), b"tds-csrf", sha256).hexdigest()


def is_csrf_token(given: str, token: str) -> bool:
    """Whether `given` belongs to the session, in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), csrf_token(token).encode())


def _caller(operator: Operator) -> Principal:
    return Principal(PrincipalKind.OPERATOR, operator.name, Role(operator.role))
