"""The steps of a story, page by page: each kind goes on from a mark of its own, so that none is lost or told twice."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from tds_core.reading.errors import InvalidCursorError
from tds_core.reading.paging import Page, Row, read_mark, written
from tds_core.reading.story.kinds import KINDS, StepKind
from tds_models.entity import Entity

_BEGINNING, _END = datetime.min.replace(year=1000, tzinfo=UTC), datetime.max.replace(year=9000, tzinfo=UTC)
_RANK = {kind.name: rank for rank, kind in enumerate(KINDS)}
#: By kind, the keys of the oldest step a page showed.
Marks = dict[str, tuple[int | str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a story: of which field, from when to when, how many steps, and before which."""

    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 200
    cursor: str | None = None


def steps(session: Session, entity: Entity, source_id: str, asked: Asked) -> Page:
    """The newest steps, in the order of time; the cursor leads to those before them. Raises InvalidCursorError."""
    marks: Marks = read_mark(asked.cursor, Marks) if asked.cursor else {}
    given = {
        "source": entity.stream.source, "entity": entity.name, "id": source_id, "limit": asked.limit + 1,
        "since": asked.since or _BEGINNING, "until": asked.until or _END,
    }  # fmt: skip
    told = [_read(session, kind, given, marks.get(kind.name), asked.field) for kind in KINDS]
    newest_first = heapq.merge(*told, key=_newness)
    page = [step for step, _ in zip(newest_first, range(asked.limit), strict=False)]
    more = sum(map(len, told)) > len(page)
    for step in page:
        marks[step["kind"]] = step["key"]
    ordered = sorted(page, key=lambda step: (step["at"], _RANK[step["kind"]]))
    return Page([_without_key(step) for step in ordered], written(marks) if more else None)


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
