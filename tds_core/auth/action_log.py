"""The action log: what callers did, one row when an action begins and one when it ends."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import ARRAY, Select, Text, insert, literal, select, text
from sqlalchemy.orm import Session, aliased

from tds_core.auth.principal import Principal
from tds_core.observability.redaction import redact
from tds_core.pagination import Page, read_page
from tds_models.auth import ActionOutcome, OperatorAction

MOST_IDS, LONGEST_TEXT, MOST_PARTS = 1000, 200, 20


@dataclass(frozen=True, slots=True)
class ActionEntry:
    """An action a caller requests; `source_ids`: the records it names."""

    caller: Principal
    operation: str
    subject: str
    correlation_id: str
    remote_address: str | None = None
    entity: str | None = None
    source_ids: Sequence[str] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


class OperatorActionRow(TypedDict):
    """A row of the action log. `begun_id`: the row of its beginning; `status`: of the HTTP response; `error`: a code.

    `source_ids`: the records it names; `detail`: its arguments without secrets.
    """

    id: int
    begun_id: int | None
    recorded_at: datetime
    caller: str
    caller_kind: str
    role: str | None
    operation: str
    subject: str
    entity: str | None
    source_ids: list[str] | None
    detail: dict[str, Any]
    outcome: str
    status: int | None
    error: str | None
    remote_address: str | None
    correlation_id: str


def record(
    session: Session,
    action: ActionEntry,
    outcome: ActionOutcome,
    *,
    begun_id: int | None = None,
    status: int | None = None,
    error: str | None = None,
) -> int:
    """Insert the row of an action, or of its end when `begun_id` names its beginning. Returns the row's id."""
    caller = action.caller
    row = {
        "begun_id": begun_id,
        "caller": _text(caller.name),
        "caller_kind": caller.kind.value,
        "role": caller.role.value if caller.role else None,
        "operation": action.operation,
        "subject": _text(action.subject, longest=500),
        "entity": _text(action.entity) if action.entity else None,
        "source_ids": [_text(source_id) for source_id in action.source_ids[:MOST_IDS]] or None,
        "detail": brief(action.detail),
        "outcome": outcome.value,
        "status": status,
        "error": error,
        "remote_address": action.remote_address,
        "correlation_id": action.correlation_id,
    }
    return session.execute(insert(OperatorAction).values(row).returning(OperatorAction.id)).scalar_one()


def brief(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an action, without secrets and personal data, and with long values shortened."""
    return {_text(str(key)): _short(value) for key, value in redact(detail).items()}


def actions(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    caller: str | None = None,
    operation: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[OperatorActionRow]:
    """Actions, newest first: the row of the end of each, or of its beginning while it has not ended.

    Raises InvalidCursorError.
    """
    statement, shown = ended_actions(caller=caller, operation=operation, outcome=outcome)
    if since is not None:
        statement = statement.where(shown.recorded_at >= since)
    if until is not None:
        statement = statement.where(shown.recorded_at < until)
    return read_page(session, statement, keys=[shown.recorded_at, shown.id], cursor=cursor, limit=limit)


def ended_actions(
    *,
    caller: str | None = None,
    operation: str | None = None,
    outcome: str | None = None,
    entity: str | None = None,
    source_id: str | None = None,
) -> tuple[Select[Any], Any]:
    """A query for the row of the end of each action, or of its beginning while it has not ended; and its columns.

    `source_id`: one of the records it names.
    """
    ended = aliased(OperatorAction)
    shown = OperatorAction.__table__.c
    statement = select(*shown).where(~select(ended.id).where(ended.begun_id == shown.id).exists())
    given = ((shown.caller, caller), (shown.operation, operation), (shown.outcome, outcome), (shown.entity, entity))
    for column, value in given:
        if value is not None:
            statement = statement.where(column == value)
    if source_id is not None:
        statement = statement.where(
            shown.source_ids.is_not(None), shown.source_ids.op("@>")(literal([source_id], ARRAY(Text)))
        )
    return statement, shown


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple) and len(value) <= MOST_PARTS and all(isinstance(e, str | int) for e in value):
        return [_short(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return f"({len(value)} parts)" if isinstance(value, list | tuple | Mapping) else f"({type(value).__name__})"


def _text(value: str, longest: int = LONGEST_TEXT) -> str:
    """Text that PostgreSQL accepts: without NUL and lone surrogates."""
    return value[:longest].replace("\x00", "\\0").encode("utf-8", "replace").decode()


_CALLERS = text("""
select distinct on (correlation_id) correlation_id, caller from tds_operator_actions
where correlation_id = any(:ids) order by correlation_id, id
""")


def callers_by_correlation_id(session: Session, correlation_ids: Collection[str]) -> dict[str, str]:
    """Who asked under each of `correlation_ids`; ids under which nobody asked are left out."""
    rows = session.execute(_CALLERS, {"ids": sorted({each for each in correlation_ids if each})})
    return {row.correlation_id: row.caller for row in rows}
