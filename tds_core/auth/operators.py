"""Operators: made, given a role, a password, disabled; there is always an administrator left."""

import re

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from tds_core.auth.credentials import hash_password, is_password, new_password
from tds_core.auth.principal import LastAdminError, LoginRefusedError, NotKnownError, TakenError, UnfitError
from tds_core.pagination import Row
from tds_models.auth import Operator, OperatorSession, Role
from tds_models.db import Lock

FIRST_ADMIN = "admin"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}")
#: Names of callers that are no operators, under which what they do is kept.
_RESERVED = frozenset({"token", "nobody", "schedule", "timetable"})
# Whoever changes who is an administrator waits for whoever else does: two must not each leave the other as the last.
_LOCK = Lock.OPERATORS.until_commit()

_SHOWN = (
    Operator.name, Operator.role, Operator.created_at, Operator.created_by, Operator.password_changed_at,
    Operator.last_login_at, Operator.disabled_at,
)  # fmt: skip


def spelled(name: str) -> str:
    """The name as it is kept and counted, however it was typed; empty for one that no operator can have."""
    name = name.strip().lower()
    return name if _NAME.fullmatch(name) else ""


def create_operator(
    session: Session, *, name: str, role: Role, by: str, password: str | None = None
) -> tuple[Row, str]:
    """A new operator and their password, made if none is given. Raises UnfitError or TakenError."""
    name, password = spelled(name), password or new_password()
    if not name:
        raise UnfitError("A name has 2 to 64 small letters, digits or . _ @ + - and begins with a letter or digit.")
    if name in _RESERVED:
        raise UnfitError(f"{name!r} is what TDS calls a caller that is no operator. Choose another name.")
    hashed = hash_password(password)
    session.execute(_LOCK)
    if session.execute(select(Operator.id).where(Operator.name == name)).first():
        raise TakenError(f"There is or was an operator {name!r}; names are never used twice.")
    session.add(Operator(name=name, role=role.value, password_hash=hashed, created_by=by))
    session.flush()
    return operator_named(session, name), password


def first_admin(session: Session, *, by: str) -> tuple[Row, str] | None:
    """An administrator and their password where there is no operator yet; None where there is one."""
    session.execute(_LOCK)
    if session.execute(select(Operator.id).limit(1)).first():
        return None
    return create_operator(session, name=FIRST_ADMIN, role=Role.ADMIN, by=by)


def operators(session: Session) -> list[Row]:
    """All operators by name, the disabled ones too."""
    return [dict(row) for row in session.execute(select(*_SHOWN).order_by(Operator.name)).mappings()]


def operator_named(session: Session, name: str) -> Row:
    """One operator. Raises NotKnownError."""
    row = session.execute(select(*_SHOWN).where(Operator.name == name.lower())).mappings().one_or_none()
    if row is None:
        raise NotKnownError(f"There is no operator {name[:80]!r}.")
    return dict(row)


def change_role(session: Session, name: str, role: Role) -> Row:
    """Give an operator another role, at once. Raises NotKnownError or LastAdminError."""
    operator = _changing(session, name)
    if role is not Role.ADMIN:
        _keep_an_admin(session, operator)
    operator.role = role.value
    session.flush()
    return operator_named(session, name)


def disable(session: Session, name: str) -> Row:
    """Let an operator in no more and end their sessions. Raises NotKnownError or LastAdminError."""
    operator = _changing(session, name)
    _keep_an_admin(session, operator)
    session.execute(
        update(Operator)
        .where(Operator.id == operator.id, Operator.disabled_at.is_(None))
        .values(disabled_at=func.now())
    )
    _end_sessions(session, operator)
    return operator_named(session, name)


def enable(session: Session, name: str) -> Row:
    """Let a disabled operator in again. Raises NotKnownError."""
    _changing(session, name).disabled_at = None
    session.flush()
    return operator_named(session, name)


def set_password(session: Session, name: str, password: str | None = None) -> tuple[Row, str]:
    """Give an operator another password, made if none is given, and end their sessions.

    Raises NotKnownError or UnfitError.
    """
    password = password or new_password()
    hashed = hash_password(password)
    operator = _changing(session, name)
    session.execute(
        update(Operator).where(Operator.id == operator.id).values(password_hash=hashed, password_changed_at=func.now())
    )
    _end_sessions(session, operator)
    return operator_named(session, name), password


def change_own_password(session: Session, name: str, *, current: str, new: str) -> Row:
    """Let an operator change their own password, which ends their sessions. Raises LoginRefusedError or UnfitError."""
    kept = session.execute(select(Operator.password_hash).where(Operator.name == name)).scalar_one_or_none()
    if not is_password(current, kept):
        raise LoginRefusedError("The current password is another one.")
    return set_password(session, name, new)[0]


def _changing(session: Session, name: str) -> Operator:
    session.execute(_LOCK)
    operator = session.execute(
        select(Operator).where(Operator.name == name.lower()).execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if operator is None:
        raise NotKnownError(f"There is no operator {name[:80]!r}.")
    return operator


def _keep_an_admin(session: Session, leaving: Operator) -> None:
    others = select(Operator.id).where(
        Operator.role == Role.ADMIN.value, Operator.disabled_at.is_(None), Operator.id != leaving.id
    )
    if (
        leaving.role == Role.ADMIN.value
        and leaving.disabled_at is None
        and not session.execute(others.limit(1)).first()
    ):
        raise LastAdminError(f"{leaving.name} is the last administrator. Make another one first.")


def _end_sessions(session: Session, operator: Operator) -> None:
    session.execute(delete(OperatorSession).where(OperatorSession.operator_id == operator.id))
