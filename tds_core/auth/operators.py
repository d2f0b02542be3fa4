"""Operators: create, list, change role and password, disable. One administrator always remains."""

import re
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from tds_core.auth.credentials import hash_password, new_password, verify_password
from tds_core.auth.principal import InvalidArgumentError, LastAdminError, LoginRefusedError, OperatorExistsError
from tds_core.errors import NotFoundError
from tds_models.auth import Operator, OperatorSession, Role
from tds_models.db import Lock

FIRST_ADMIN = "admin"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}")
#: Names under which the action log stores callers that are not operators.
_RESERVED = frozenset({"token", "nobody", "schedule", "timetable"})
# Changes of operators are serialised: two administrators must not each remove the other.
_LOCK = Lock.OPERATORS.until_commit()


class OperatorRow(TypedDict):
    """An operator without the password. `disabled_at`: None while they may log in."""

    name: str
    role: str
    created_at: datetime
    created_by: str
    password_changed_at: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None


_SHOWN = (
    Operator.name, Operator.role, Operator.created_at, Operator.created_by, Operator.password_changed_at,
    Operator.last_login_at, Operator.disabled_at,
)  # fmt: skip


def normalize_name(name: str) -> str:
    """The name as it is stored, in small letters without spaces around; empty for one that no operator can have."""
    name = name.strip().lower()
    return name if _NAME.fullmatch(name) else ""


def create_operator(
    session: Session, *, name: str, role: Role, by: str, password: str | None = None
) -> tuple[OperatorRow, str]:
    """Create an operator. Returns their row and password, a random one without `password`.

    Raises InvalidArgumentError and OperatorExistsError.
    """
    name, password = normalize_name(name), password or new_password()
    if not name:
        raise InvalidArgumentError(
            "A name has 2 to 64 small letters, digits or . _ @ + - and begins with a letter or digit."
        )
    if name in _RESERVED:
        raise InvalidArgumentError(f"{name!r} is reserved for callers that are not operators. Choose another name.")
    hashed = hash_password(password)
    session.execute(_LOCK)
    if session.execute(select(Operator.id).where(Operator.name == name)).first():
        raise OperatorExistsError(f"There is or was an operator {name!r}; names are never used twice.")
    session.add(Operator(name=name, role=role.value, password_hash=hashed, created_by=by))
    session.flush()
    return operator_named(session, name), password


def first_admin(session: Session, *, by: str) -> tuple[OperatorRow, str] | None:
    """Create the first administrator. Returns their row and password; None when there is an operator already."""
    session.execute(_LOCK)
    if session.execute(select(Operator.id).limit(1)).first():
        return None
    return create_operator(session, name=FIRST_ADMIN, role=Role.ADMIN, by=by)


def operators(session: Session) -> list[OperatorRow]:
    """All operators by name, the disabled ones too."""
    rows = session.execute(select(*_SHOWN).order_by(Operator.name)).mappings()
    return cast("list[OperatorRow]", [dict(row) for row in rows])


def operator_named(session: Session, name: str) -> OperatorRow:
    """One operator. Raises NotFoundError."""
    row = session.execute(select(*_SHOWN).where(Operator.name == name.lower())).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no operator {name[:80]!r}.")
    return cast("OperatorRow", dict(row))


def change_role(session: Session, name: str, role: Role) -> OperatorRow:
    """Change the role of an operator, at once. Raises NotFoundError and LastAdminError."""
    operator = _lock_operator(session, name)
    if role is not Role.ADMIN:
        _require_other_admin(session, operator)
    operator.role = role.value
    session.flush()
    return operator_named(session, name)


def disable(session: Session, name: str) -> OperatorRow:
    """Disable an operator and end their sessions. Raises NotFoundError and LastAdminError."""
    operator = _lock_operator(session, name)
    _require_other_admin(session, operator)
    session.execute(
        update(Operator)
        .where(Operator.id == operator.id, Operator.disabled_at.is_(None))
        .values(disabled_at=func.now())
    )
    _end_sessions(session, operator)
    return operator_named(session, name)


def enable(session: Session, name: str) -> OperatorRow:
    """Enable a disabled operator. Raises NotFoundError."""
    _lock_operator(session, name).disabled_at = None
    session.flush()
    return operator_named(session, name)


def set_password(session: Session, name: str, password: str | None = None) -> tuple[OperatorRow, str]:
    """Set the password of an operator, a random one without `password`, and end their sessions.

    Returns their row and the password. Raises NotFoundError and InvalidArgumentError.
    """
    password = password or new_password()
    hashed = hash_password(password)
    operator = _lock_operator(session, name)
    session.execute(
        update(Operator).where(Operator.id == operator.id).values(password_hash=hashed, password_changed_at=func.now())
    )
    _end_sessions(session, operator)
    return operator_named(session, name), password


def change_own_password(session: Session, name: str, *, current: str, new: str) -> OperatorRow:
    """Change an operator's own password and end their sessions. Raises LoginRefusedError and InvalidArgumentError."""
    stored = session.execute(select(Operator.password_hash).where(Operator.name == name)).scalar_one_or_none()
    if not verify_password(current, stored):
        raise LoginRefusedError("The current password is wrong.")
    return set_password(session, name, new)[0]


def _lock_operator(session: Session, name: str) -> Operator:
    session.execute(_LOCK)
    operator = session.execute(
        select(Operator).where(Operator.name == name.lower()).execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if operator is None:
        raise NotFoundError(f"There is no operator {name[:80]!r}.")
    return operator


def _require_other_admin(session: Session, operator: Operator) -> None:
    others = select(Operator.id).where(
        Operator.role == Role.ADMIN.value, Operator.disabled_at.is_(None), Operator.id != operator.id
    )
    if (
        operator.role == Role.ADMIN.value
        and operator.disabled_at is None
        and not session.execute(others.limit(1)).first()
    ):
        raise LastAdminError(f"{operator.name} is the last administrator. Make another one first.")


def _end_sessions(session: Session, operator: Operator) -> None:
    session.execute(delete(OperatorSession).where(OperatorSession.operator_id == operator.id))
