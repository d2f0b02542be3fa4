"""The audit log: changes of records beside the actions of operators, both in the order of time, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Text, and_, func, lateral, literal, select, true, tuple_
from sqlalchemy.orm import Session

from tds_core.auth import action_log
from tds_core.errors import TdsError
from tds_core.pagination import LARGEST_PAGE, Page, Row, decode_cursor, encode_cursor
from tds_models.audit_trail import AuditEntry
from tds_models.entities import ENTITIES


class Kind(StrEnum):
    """What an entry is about. Of one moment, actions come before the changes they led to."""

    CHANGE = "change"
    ACTION = "action"


class InvalidAuditFilterError(TdsError):
    """The filters exclude each other."""

    code = "invalid_arguments"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries. `caller`, `operation` and `outcome` are of actions alone; times bound `recorded_at`."""

    kind: Kind | None = None
    entity: str | None = None
    source_id: str | None = None
    caller: str | None = None
    operation: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def kinds(self) -> Sequence[Kind]:
        """The kinds that can match. Raises InvalidAuditFilterError."""
        of_actions = [name for name in ("caller", "operation", "outcome") if getattr(self, name) is not None]
        if self.kind is Kind.CHANGE and of_actions:
            raise InvalidAuditFilterError(
                f"A change has no {' or '.join(of_actions)}: leave that out, or ask for kind=action."
            )
        if self.kind:
            return [self.kind]
        return [Kind.ACTION] if of_actions else list(Kind)


#: The place of an entry in the order of the log: recorded_at, the rank of its kind, id.
Position = tuple[datetime, int, int]
_RANKS = {kind: rank for rank, kind in enumerate(Kind)}


def entries(session: Session, wanted: AuditFilter, *, cursor: str | None = None, limit: int = 50) -> Page[Row]:
    """Entries, the newest first: changes with their version, actions as `action_log.OperatorActionRow`, by `kind`.

    Raises InvalidCursorError and InvalidAuditFilterError.
    """
    size = min(limit, LARGEST_PAGE)
    after: Position | None = decode_cursor(cursor, Position) if cursor is not None else None
    found = [row for kind in wanted.kinds() for row in _READ[kind](session, wanted, after, size + 1)]
    found.sort(key=_position, reverse=True)
    more = len(found) > size
    return Page(found[:size], encode_cursor(_position(found[size - 1])) if more else None)


def _position(row: Row) -> Position:
    return row["recorded_at"], _RANKS[row["kind"]], row["id"]


def _before(kind: Kind, columns: Any, after: Position | None) -> list[ColumnElement[bool]]:
    """The condition that entries of a kind come behind `after`."""
    if after is None:
        return []
    at, rank, last_id = after
    if _RANKS[kind] == rank:
        return [tuple_(columns.recorded_at, columns.id) < tuple_(literal(at), literal(last_id))]
    return [columns.recorded_at < at if _RANKS[kind] > rank else columns.recorded_at <= at]


def _between(columns: Any, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.since is not None:
        conditions.append(columns.recorded_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(columns.recorded_at < wanted.until)
    return conditions


def _actions(session: Session, wanted: AuditFilter, after: Position | None, count: int) -> list[Row]:
    statement, shown = action_log.ended_actions(
        caller=wanted.caller,
        operation=wanted.operation,
        outcome=wanted.outcome,
        entity=wanted.entity,
        source_id=wanted.source_id,
    )
    statement = statement.where(*_between(shown, wanted), *_before(Kind.ACTION, shown, after))
    rows = session.execute(statement.order_by(shown.recorded_at.desc(), shown.id.desc()).limit(count)).mappings()
    return [{**row, "kind": Kind.ACTION} for row in rows]


def _changes(session: Session, wanted: AuditFilter, after: Position | None, count: int) -> list[Row]:
    """The newest changes of each entity by its own index, put together: that bounds what is read by the page."""
    columns = AuditEntry.__table__.c
    shown = [column if column.key != "changes" else column.cast(Text).label("changes") for column in columns]
    names = literal([wanted.entity] if wanted.entity else list(ENTITIES), ARRAY(Text))
    entities = func.unnest(names).table_valued("entity_name").render_derived()
    conditions = [
        columns.entity == entities.c.entity_name,
        *_between(columns, wanted),
        *_before(Kind.CHANGE, columns, after),
    ]
    if wanted.source_id is not None:
        conditions.append(columns.source_id == wanted.source_id)
    order = (columns.recorded_at.desc(), columns.id.desc())
    newest = lateral(select(*shown).where(and_(*conditions)).order_by(*order).limit(count), name="newest")
    statement = select(newest).select_from(entities).join(newest, true())
    ordered = statement.order_by(newest.c.recorded_at.desc(), newest.c.id.desc()).limit(count)
    rows = [{**row, "kind": Kind.CHANGE} for row in session.execute(ordered).mappings()]
    for row in rows:
        row["changes"] = msgspec.Raw(row["changes"].encode())
    return rows


_READ = {Kind.CHANGE: _changes, Kind.ACTION: _actions}
