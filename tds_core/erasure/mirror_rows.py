"""Mirror rows: the person's own row, the rows of documents that refer to them, and the lines of these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.erasure.places import IDS_AT_ONCE, scrubbed
from tds_core.erasure.scrub import Scrubber
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import CUSTOM, JSON, TEXT, Field

_ROW_KEY, _LINE_KEY = ("source", "source_id"), ("source", "parent_id", "position")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubbedMirrorRow:
    """A mirror row or line that holds values of the person; `key`: its primary key; JSON as text."""

    table: str
    source_id: str
    key: dict[str, Any]
    contents: dict[str, str]
    json_columns: frozenset[str]


def mirror_rows(
    session: Session, entity: Entity, ids: Sequence[str], scrubber: Scrubber, *, locks: bool
) -> Iterator[ScrubbedMirrorRow]:
    """The rows and lines of these records that hold something to erase; `locks`: until the transaction ends."""
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = list(ids[start : start + IDS_AT_ONCE])
        table = entity.table.fullname
        yield from _scrubbed(session, table, entity.fields, _ROW_KEY, some, scrubber, locks=locks)
        for lines in entity.lines:
            table = entity.line_tables[lines.name].fullname
            yield from _scrubbed(session, table, lines.fields, _LINE_KEY, some, scrubber, locks=locks)


def _scrubbed(  # noqa: PLR0917 (a table, its columns and its rows)
    session: Session, table: str, fields: Sequence[Field], key: tuple[str, ...], ids: list[str], scrubber: Scrubber,
    *, locks: bool,
) -> Iterator[ScrubbedMirrorRow]:  # fmt: skip
    json_columns = {each.name for each in fields if each.kind in (JSON, CUSTOM)}
    columns = {each.name for each in fields if each.kind == TEXT} | json_columns
    if key == _ROW_KEY:
        columns, json_columns = columns | {"source_record"}, json_columns | {"source_record"}
    if not columns:
        return
    cast = ", ".join(f"cast({name} as text) as {name}" for name in sorted(columns))
    statement = text(
        f"select {', '.join(f'{name} as key_{name}' for name in key)}, {cast} from {table}"
        f" where {key[1]} = any(:ids) order by {', '.join(key)}{' for update' if locks else ''}"
    )
    for row in session.execute(statement, {"ids": ids}).mappings().all():
        contents = {}
        for name in sorted(columns):
            content = scrubbed(
                row[name], scrubber, is_json=name in json_columns, is_raw=name == "source_record", key=name
            )
            if content is not None:
                contents[name] = content
        if contents:
            yield ScrubbedMirrorRow(
                table=table, source_id=row[f"key_{key[1]}"], key={name: row[f"key_{name}"] for name in key},
                contents=contents, json_columns=frozenset(json_columns),
            )  # fmt: skip


def write(session: Session, row: ScrubbedMirrorRow) -> None:
    """Write what is left of a row. Its version stays, for its history is erased alike; `changed_at` says it was."""
    parts = [f"{name} = cast(:{name} as {'jsonb' if name in row.json_columns else 'text'})" for name in row.contents]
    parts += ["changed_at = now()"] if "position" not in row.key else []
    condition = " and ".join(f"{name} = :key_{name}" for name in row.key)
    params = {**row.contents, **{f"key_{name}": value for name, value in row.key.items()}}
    session.execute(text(f"update {row.table} set {', '.join(parts)} where {condition}"), params)
