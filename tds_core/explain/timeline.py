"""The timeline of a record: its diagnosis, its pending work, and the steps that led there, page by page.

The cursor of a page has one mark per kind of step, so that no step is lost or repeated.
"""

import dataclasses
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict, cast

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidCursorError
from tds_core.explain.diagnosis import RecordFacts, RecordVerdict, VersionFacts, WorkItemFacts, diagnose_record
from tds_core.explain.step_queries import KINDS, OF_RECORD, StepKind
from tds_core.pagination import Page, Row, decode_cursor, encode_cursor
from tds_core.sync.run_requests import InvalidRequestError
from tds_models.entities.declaration import Entity

_BEGINNING, _END = datetime.min.replace(year=1000, tzinfo=UTC), datetime.max.replace(year=9000, tzinfo=UTC)
_RANK = {kind.name: rank for rank, kind in enumerate(KINDS)}
#: By kind, the keys of the oldest step a page showed.
Marks = dict[str, tuple[int | str, ...]]

_WORK = text("""
select priority, origin, must_read, attempts, snoozes, crashes, next_attempt_at, leased_by, leased_until, last_error,
       created_at, correlation_id
from tds_sync_queue where source = :source and entity = :entity and source_id = :id
""")
_ROW = (
    "select changed_at, confirmed_at, deleted_at, {1} as whole_at from {0} where source = :source and source_id = :id"
)
_DEAD_LETTER = text(f"""
select d.id, d.error_class, d.error, d.last_dead_at from tds_dead_letter_queue d
where {OF_RECORD.format("d")} and d.resolved_at is null order by d.id desc limit 1
""")
_REJECTED = text("""
select received_at, reason from tds_rejected_deliveries where entity = :entity and source_id = :id
order by id desc limit 1
""")
_LAST_PASS = text("""
select mode, started_at from tds_sync_runs
where source = :source and entity = :entity and mode in ('full', 'incremental') and state = 'completed'
  and started_at is not null and requested_at > now() - interval '7 days'
order by requested_at desc limit 1
""")
_CHANGE = next(kind for kind in KINDS if kind.name == "change").sql
_NEWEST = text(f"{_CHANGE} order by c.version desc limit 1")
_NEWEST_OF_FIELD = text(f"{_CHANGE} and c.changes ? :field order by c.version desc limit 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFilter:
    """Which steps of a timeline: of one field, since and until when, how many, and before which cursor."""

    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 200
    cursor: str | None = None


class TimelineStep(TypedDict):
    """One step. `kind`: the name of its StepKind; `detail`: the columns of that kind."""

    at: datetime
    kind: str
    correlation_id: str | None
    detail: Row


class Explanation(TypedDict):
    """What is known of a record. `steps`: newest last.

    `next_cursor` leads to older steps; None when there are none. `owed`: its work item; None when there is none.
    """

    entity: str
    source_id: str
    verdict: RecordVerdict
    steps: list[TimelineStep]
    next_cursor: str | None
    owed: WorkItemFacts | None


def explain(session: Session, entity: Entity, source_id: str, step_filter: StepFilter | None = None) -> Explanation:
    """The diagnosis of a record, its newest steps in the order of time, and its pending work.

    Raises InvalidRequestError for a field the entity does not have, and InvalidCursorError.
    """
    step_filter = step_filter or StepFilter()
    field = step_filter.field
    key = _key_of(entity, field) if field else None
    params = {"source": entity.stream.source, "entity": entity.name, "id": source_id}
    page = steps(session, entity, source_id, step_filter)
    work_item = _first(session, _WORK, params)
    field_change = _first(session, _NEWEST_OF_FIELD, {**params, "field": field}) if field else None
    facts = RecordFacts(
        entity=entity.name, source_id=source_id, work_item=work_item, field=field, origin_key=key,
        field_change=field_change,
        row=_first(session, text(_ROW.format(entity.table.fullname, _whole_at(entity))), params),
        dead_letter=_first(session, _DEAD_LETTER, params), rejected=_first(session, _REJECTED, params),
        last_pass=_first(session, _LAST_PASS, params), change=_first(session, _NEWEST, params),
        value=_value_of(field_change, field) if field_change and field else None,
    )  # fmt: skip
    return {
        "entity": entity.name,
        "source_id": source_id,
        "verdict": cast("RecordVerdict", dataclasses.asdict(diagnose_record(facts))),
        "steps": page.items,
        "next_cursor": page.next_cursor,
        "owed": work_item,
    }


def _whole_at(entity: Entity) -> str:
    """The column with the time since which the row is known to be complete."""
    return "lines_confirmed_at" if entity.header_first else "confirmed_at"


def _first(session: Session, statement: Any, params: dict[str, Any]) -> Any:
    """The first row as a dict of its columns; None where there is none."""
    row = session.execute(statement, params).mappings().first()
    return None if row is None else dict(row)


def _key_of(entity: Entity, field: str) -> str:
    """The key of a field or lines at Zoho. Raises InvalidRequestError that names the known ones."""
    keys = {field.name: field.key for field in entity.fields} | {lines.name: lines.key for lines in entity.lines}
    if field not in keys:
        raise InvalidRequestError(f"A {entity.name} has no field {field[:80]!r}. It has: {', '.join(keys)}.")
    return keys[field]


def _value_of(change: VersionFacts, field: str) -> str:
    """The value a change set, short enough for a sentence."""
    after = msgspec.json.decode(change["changes"], type=dict[str, tuple[msgspec.Raw, msgspec.Raw]])[field][1]
    spelled = bytes(after).decode()
    if spelled.startswith("["):
        return f"{len(msgspec.json.decode(spelled))} lines"
    plain = "nothing" if spelled == "null" else spelled.strip('"')
    return plain if len(plain) <= 60 else f"{plain[:60]}…"


def steps(session: Session, entity: Entity, source_id: str, step_filter: StepFilter) -> Page[TimelineStep]:
    """The newest steps in the order of time; the cursor leads to older ones. Raises InvalidCursorError."""
    marks: Marks = decode_cursor(step_filter.cursor, Marks) if step_filter.cursor else {}
    params = {
        "source": entity.stream.source, "entity": entity.name, "id": source_id, "limit": step_filter.limit + 1,
        "since": step_filter.since or _BEGINNING, "until": step_filter.until or _END,
    }  # fmt: skip
    read = [_read(session, kind, params, marks.get(kind.name), step_filter.field) for kind in KINDS]
    newest_first = heapq.merge(*read, key=_newness)
    page = [step for step, _ in zip(newest_first, range(step_filter.limit), strict=False)]
    more = sum(map(len, read)) > len(page)
    for step in page:
        marks[step["kind"]] = step["key"]
    ordered = sorted(page, key=lambda step: (step["at"], _RANK[step["kind"]]))
    return Page([_without_key(step) for step in ordered], encode_cursor(marks) if more else None)


def _read(
    session: Session, kind: StepKind, params: Mapping[str, Any], mark: tuple[int | str, ...] | None, field: str | None
) -> list[Row]:
    statement = (
        (kind.first_of_field if field else kind.first)
        if mark is None
        else (kind.older_of_field if field else kind.older)
    )
    values = {**params, "field": field, **(_mark_params(kind, mark) if mark is not None else {})}
    return [_step(kind, dict(row), field) for row in session.execute(statement, values).mappings()]


def _mark_params(kind: StepKind, mark: tuple[int | str, ...]) -> dict[str, int | str]:
    """The parameters of a mark. Raises InvalidCursorError for one that is not of this kind."""
    fits = len(mark) == len(kind.keys)
    for value, (_, type_name) in zip(mark, kind.keys, strict=False):
        if isinstance(value, int):
            fits = fits and type_name != "timestamptz" and abs(value) < 2 ** (31 if type_name == "int" else 63)
        else:
            fits = fits and type_name == "timestamptz" and _is_aware_time(value)
    if not fits:
        raise InvalidCursorError("The cursor is not one TDS gave out.")
    return {f"m{place}": value for place, value in enumerate(mark)}


def _is_aware_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _step(kind: StepKind, detail: Row, field: str | None) -> Row:
    key = tuple(_plain(detail["at"] if name.endswith("_at") else detail[name[2:]]) for name, _ in kind.keys)
    if kind.name == "change":
        detail["changes"] = _changes_of(detail["changes"], field)
    if "id" in detail:
        detail["id"] = str(detail["id"])
    head = {"at": detail.pop("at"), "kind": kind.name, "correlation_id": detail.pop("correlation_id")}
    return {**head, "detail": detail, "key": key}


def _changes_of(changes: str, field: str | None) -> msgspec.Raw:
    """The changes, or only those of one field, as raw JSON: no number becomes a float."""
    if field is None:
        return msgspec.Raw(changes.encode())
    changes_by_field = msgspec.json.decode(changes, type=dict[str, msgspec.Raw])
    return msgspec.Raw(msgspec.json.encode({name: pair for name, pair in changes_by_field.items() if name == field}))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _newness(step: Row) -> tuple[float, int]:
    return -step["at"].timestamp(), -_RANK[step["kind"]]


def _without_key(step: Row) -> TimelineStep:
    return cast("TimelineStep", {name: value for name, value in step.items() if name != "key"})
