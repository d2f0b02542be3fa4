"""The steps of a story, page by page: each kind goes on from a mark of its own, so that none is lost or told twice.

The story told: the steps of a record, the work it is still owed, and the verdict on top.
"""

import dataclasses
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidCursorError
from tds_core.explain.diagnosis import RecordFacts, judge
from tds_core.explain.step_queries import KINDS, OF_RECORD, StepKind
from tds_core.pagination import Page, Row, decode_cursor, encode_cursor
from tds_core.sync.run_requests import InvalidRequestError
from tds_models.entities.base import Entity

_BEGINNING, _END = datetime.min.replace(year=1000, tzinfo=UTC), datetime.max.replace(year=9000, tzinfo=UTC)
_RANK = {kind.name: rank for rank, kind in enumerate(KINDS)}
#: By kind, the keys of the oldest step a page showed.
Marks = dict[str, tuple[int | str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFilter:
    """What is asked of a story: of which field, from when to when, how many steps, and before which."""

    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 200
    cursor: str | None = None


def steps(session: Session, entity: Entity, source_id: str, asked: StepFilter) -> Page:
    """The newest steps, in the order of time; the cursor leads to those before them. Raises InvalidCursorError."""
    marks: Marks = decode_cursor(asked.cursor, Marks) if asked.cursor else {}
    params = {
        "source": entity.stream.source, "entity": entity.name, "id": source_id, "limit": asked.limit + 1,
        "since": asked.since or _BEGINNING, "until": asked.until or _END,
    }  # fmt: skip
    told = [_read(session, kind, params, marks.get(kind.name), asked.field) for kind in KINDS]
    newest_first = heapq.merge(*told, key=_newness)
    page = [step for step, _ in zip(newest_first, range(asked.limit), strict=False)]
    more = sum(map(len, told)) > len(page)
    for step in page:
        marks[step["kind"]] = step["key"]
    ordered = sorted(page, key=lambda step: (step["at"], _RANK[step["kind"]]))
    return Page([_without_key(step) for step in ordered], encode_cursor(marks) if more else None)


def _read(
    session: Session, kind: StepKind, given: Mapping[str, Any], mark: tuple[int | str, ...] | None, field: str | None
) -> list[Row]:
    statement = (
        (kind.first_of_field if field else kind.first)
        if mark is None
        else (kind.older_of_field if field else kind.older)
    )
    wanted = {**given, "field": field, **(_marked(kind, mark) if mark is not None else {})}
    return [_step(kind, dict(row), field) for row in session.execute(statement, wanted).mappings()]


def _marked(kind: StepKind, mark: tuple[int | str, ...]) -> dict[str, int | str]:
    """The values of a mark by their names. Raises InvalidCursorError for one that is not of this kind."""
    fits = len(mark) == len(kind.keys)
    for value, (_, type_name) in zip(mark, kind.keys, strict=False):
        if isinstance(value, int):
            fits = fits and type_name != "timestamptz" and abs(value) < 2 ** (31 if type_name == "int" else 63)
        else:
            fits = fits and type_name == "timestamptz" and _is_moment(value)
    if not fits:
        raise InvalidCursorError("The cursor is not one TDS gave out.")
    return {f"m{place}": value for place, value in enumerate(mark)}


def _is_moment(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _step(kind: StepKind, detail: Row, field: str | None) -> Row:
    key = tuple(_plain(detail["at"] if name.endswith("_at") else detail[name[2:]]) for name, _ in kind.keys)
    if kind.name == "change":
        detail["changes"] = _narrowed(detail["changes"], field)
    if "id" in detail:
        detail["id"] = str(detail["id"])
    about = {"at": detail.pop("at"), "kind": kind.name, "correlation_id": detail.pop("correlation_id")}
    return {**about, "detail": detail, "key": key}


def _narrowed(changes: str, field: str | None) -> msgspec.Raw:
    """Changes as they are kept: no number becomes a float."""
    if field is None:
        return msgspec.Raw(changes.encode())
    whole = msgspec.json.decode(changes, type=dict[str, msgspec.Raw])
    return msgspec.Raw(msgspec.json.encode({name: pair for name, pair in whole.items() if name == field}))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _newness(step: Row) -> tuple[float, int]:
    return -step["at"].timestamp(), -_RANK[step["kind"]]


def _without_key(step: Row) -> Row:
    return {name: value for name, value in step.items() if name != "key"}


_WORK = text("""
select priority, origin, must_read, attempts, snoozes, crashes, next_attempt_at, leased_by, leased_until, last_error,
       created_at, correlation_id
from tds_sync_queue where source = :source and entity = :entity and source_id = :id
""")
_ROW = (
    "select changed_at, confirmed_at, deleted_at, {1} as whole_at from {0} where source = :source and source_id = :id"
)
_LETTER = text(f"""
select d.id, d.error_class, d.error, d.last_dead_at from tds_dead_letter_queue d
where {OF_RECORD.format("d")} and d.resolved_at is null order by d.id desc limit 1
""")
_REFUSED = text("""
select received_at, reason from tds_rejected_deliveries where entity = :entity and source_id = :id
order by id desc limit 1
""")
_PASSED = text("""
select mode, started_at from tds_sync_runs
where source = :source and entity = :entity and mode in ('full', 'incremental') and state = 'completed'
  and started_at is not null and requested_at > now() - interval '7 days'
order by requested_at desc limit 1
""")
_CHANGE = next(kind for kind in KINDS if kind.name == "change").sql
_NEWEST = text(f"{_CHANGE} order by c.version desc limit 1")
_NEWEST_OF_FIELD = text(f"{_CHANGE} and c.changes ? :field order by c.version desc limit 1")


def explain(session: Session, entity: Entity, source_id: str, asked: StepFilter | None = None) -> dict[str, Any]:
    """How a record stands and why: verdict, the newest steps in the order of time, and the work it is still owed.

    Raises AskedWrongError for a field it does not have, and InvalidCursorError.
    """
    asked = asked or StepFilter()
    key = _key_of(entity, asked.field) if asked.field else None
    named = {"source": entity.stream.source, "entity": entity.name, "id": source_id}
    page = steps(session, entity, source_id, asked)
    owed = _first(session, _WORK, named)
    setting = _first(session, _NEWEST_OF_FIELD, {**named, "field": asked.field}) if asked.field else None
    standing = RecordFacts(
        entity=entity.name, source_id=source_id, owed=owed, field=asked.field, origin_key=key, setting=setting,
        row=_first(session, text(_ROW.format(entity.table.fullname, _whole_at(entity))), named),
        letter=_first(session, _LETTER, named), refused=_first(session, _REFUSED, named),
        passed=_first(session, _PASSED, named), change=_first(session, _NEWEST, named),
        value=_value_of(setting, asked.field) if setting and asked.field else None,
    )  # fmt: skip
    return {
        "entity": entity.name,
        "source_id": source_id,
        "verdict": dataclasses.asdict(judge(standing)),
        "steps": page.items,
        "next_cursor": page.next_cursor,
        "owed": owed,
    }


def _whole_at(entity: Entity) -> str:
    """Since when the row is known to be all the source says, where its lists say less."""
    return "lines_confirmed_at" if entity.header_first else "confirmed_at"


def _first(session: Session, statement: Any, given: dict[str, Any]) -> Row | None:
    row = session.execute(statement, given).mappings().first()
    return None if row is None else dict(row)


def _key_of(entity: Entity, field: str) -> str:
    """What Zoho calls a field or lines. Raises AskedWrongError naming those there are."""
    keys = {each.name: each.key for each in entity.fields} | {each.name: each.key for each in entity.lines}
    if field not in keys:
        raise InvalidRequestError(f"A {entity.name} has no field {field[:80]!r}. It has: {', '.join(keys)}.")
    return keys[field]


def _value_of(setting: Row, field: str) -> str:
    """A value as it is kept, short enough for a sentence."""
    after = msgspec.json.decode(setting["changes"], type=dict[str, tuple[msgspec.Raw, msgspec.Raw]])[field][1]
    spelled = bytes(after).decode()
    if spelled.startswith("["):
        return f"{len(msgspec.json.decode(spelled))} lines"
    plain = "nothing" if spelled == "null" else spelled.strip('"')
    return plain if len(plain) <= 60 else f"{plain[:60]}…"
