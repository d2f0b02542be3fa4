"""Mapping: which old table and which of its columns hold what TDS mirrors; a TOML file, read with clear errors."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from tds_core.errors import ConfigError
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import Field, at

#: The time of change at Zoho: it may stand in an old column and is shown there, but not compared.
MODIFIED_AT = at("source_modified_at")
#: Kinds of value that are compared. What is nested has no old column of the same shape.
COMPARED_KINDS = frozenset({"text", "number", "integer", "boolean", "date", "instant"})


def kind_of(field: Field) -> str:
    """The kind of a field's values; what refers to another record is text."""
    return "text" if field.kind.name == "reference" else field.kind.name


class MappingError(ConfigError):
    """The mapping file is wrong, or does not fit the old tables; the message names the place in it."""

    code = "invalid_mapping"


class Conversion(StrEnum):
    """How an old column spells a value, where its type does not say so."""

    NUMBER = "number"  # a number as text, with or without commas between thousands
    CENTS = "cents"  # hundredths of the unit
    BOOLEAN = "boolean"  # yes or no as text: true, t, yes, y, on, 1 and their opposites
    DATE = "date"  # a day as text, 2026-11-22 and what follows
    TIME = "time"  # a moment as text, in ISO 8601
    EPOCH = "epoch"  # seconds since 1970


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]


class ColumnLine(msgspec.Struct, forbid_unknown_fields=True, rename={"conversion": "as"}):
    """One column: its name, how it spells values, the words for them, and the time zone of naive moments."""

    column: Name
    conversion: Conversion | None = None
    words: dict[str, str] = msgspec.field(default_factory=dict)
    time_zone: str = ""


def _deleted_is() -> list[str]:
    return ["true", "t", "1", "yes", "y", "deleted"]


class LinesPart(msgspec.Struct, forbid_unknown_fields=True):
    """The lines of a document: their table, the column with the document's id, the columns by our field of a line.

    Lines are told apart by Zoho's id of each (`key`), or compared one after the other (`order_by`).
    """

    table: Name
    parent: Name
    columns: dict[str, Name | ColumnLine]
    key: Name | None = None
    order_by: Name | None = None
    deleted: Name | None = None
    deleted_is: list[str] = msgspec.field(default_factory=_deleted_is)


class EntityPart(msgspec.Struct, forbid_unknown_fields=True):
    """One entity: its table, the column with Zoho's id, the other columns by our field, and what it does not hold."""

    table: Name
    key: Name
    columns: dict[str, Name | ColumnLine]
    deleted: Name | None = None
    deleted_is: list[str] = msgspec.field(default_factory=_deleted_is)
    only: dict[str, list[str]] = msgspec.field(default_factory=dict)
    lines: LinesPart | None = None


class OldPart(msgspec.Struct, forbid_unknown_fields=True):
    """Where the old tables stand. `database_url_from`: the variable with the address of another database."""

    schema: Name = "public"
    time_zone: str = "UTC"
    database_url_from: str = ""


class ViewPart(msgspec.Struct, forbid_unknown_fields=True):
    """A view that promotion makes under an old name, by its own query."""

    select: Annotated[str, msgspec.Meta(min_length=8)]


class MappingFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    entities: dict[str, EntityPart]
    old: OldPart = msgspec.field(default_factory=OldPart)
    views: dict[Name, ViewPart] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedColumn:
    """An old column and the field of ours that it holds."""

    field: Field
    column: str
    conversion: Conversion | None
    words: Mapping[str, str]
    time_zone: str

    @property
    def is_compared(self) -> bool:
        """Whether a difference counts: the time of change is shown only."""
        return self.field is not MODIFIED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedLines:
    """The lines of a document and their old table; `name`: what they are called here."""

    name: str
    place: str
    here: str
    table: str
    parent: str
    columns: tuple[MappedColumn, ...]
    key: str | None
    order_by: str | None
    deleted: str | None
    deleted_is: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedEntity:
    """An entity and its old table. `only`: the values of fields that rows of the old table are limited to."""

    entity: Entity
    schema: str
    table: str
    key: str
    columns: tuple[MappedColumn, ...]
    deleted: str | None
    deleted_is: tuple[str, ...]
    only: Mapping[str, tuple[str, ...]]
    lines: MappedLines | None

    @property
    def place(self) -> str:
        """Where the file speaks of it."""
        return f"entities.{self.entity.name}"

    @property
    def compared(self) -> tuple[MappedColumn, ...]:
        """The columns whose values are compared."""
        return tuple(each for each in self.columns if each.is_compared)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoverMapping:
    """A mapping that fits what TDS mirrors; whether it fits the old tables, `tds_core.cutover.old_tables` finds."""

    schema: str
    database_url_from: str
    entities: Mapping[str, MappedEntity]
    views: Mapping[str, str]
    digest: str
    text: str = field(repr=False)


def load_mapping(path: Path) -> CutoverMapping:
    """Read a mapping file. Raises MappingError naming the file, the place in it and what would be right."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise MappingError(f"{path} cannot be read: {reason}. Name the file: --mapping FILE") from None
    try:
        return parse_mapping(text)
    except MappingError as error:
        raise MappingError(f"{path}: {error}") from None


def parse_mapping(text: str) -> CutoverMapping:
    """The mapping that a file's text holds. Raises MappingError."""
    try:
        file = msgspec.convert(tomllib.loads(text), MappingFile)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"it is no TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise MappingError(f"{_with_place(str(error))}.") from None
    if not file.entities:
        raise MappingError("entities: it maps no entity. Begin with [entities.product].")
    _check_zone("old.time_zone", file.old.time_zone)
    _check_names(file)
    return CutoverMapping(
        schema=file.old.schema,
        database_url_from=file.old.database_url_from,
        entities={name: _mapped_entity(name, part, file.old) for name, part in file.entities.items()},
        views={name: each.select.strip().rstrip(";") for name, each in file.views.items()},
        digest=sha256(text.encode()).hexdigest()[:16],
        text=text,
    )


def _check_names(file: MappingFile) -> None:
    """Each old name can be taken by one view."""
    takers: dict[str, str] = {}
    names = [(f"entities.{name}.table", part.table) for name, part in file.entities.items()]
    for place, name in [*names, *((f"views.{name}", name) for name in file.views)]:
        if name in takers:
            raise MappingError(
                f"{place}: {takers[name]} has the name {name} as well, and one view can take it. Where two entities"
                " share a table, map a view for each, and the table under [views]."
            )
        takers[name] = place


def _with_place(message: str) -> str:
    """msgspec's message with the place before it, as the file spells it."""
    said, _, path = message.partition(" - at `")
    place = re.sub(r"\[\.\.\.\]", ".*", path.rstrip("`").removeprefix("$").removeprefix("."))
    said = said.replace("Object contains unknown field", "there is no such setting:").replace("Object ", "it ")
    return f"{place or 'the file'}: {said[:1].lower()}{said[1:]}"


def _mapped_entity(name: str, part: EntityPart, old: OldPart) -> MappedEntity:
    place = f"entities.{name}"
    if name not in ENTITIES:
        raise MappingError(f"{place}: TDS mirrors nothing called {name!r}. Entities: {', '.join(ENTITIES)}.")
    fields = _fields_of(ENTITIES[name])
    columns = tuple(_mapped_column(place, key, line, fields, old) for key, line in part.columns.items())
    if not any(each.is_compared for each in columns):
        raise MappingError(f'{place}.columns: no field is compared. Write for example: name = "item_name".')
    for key in part.only:
        if key not in fields or kind_of(fields[key]) != "text":
            raise MappingError(f"{place}.only.{key}: only fields that are text can be listed here.")
    return MappedEntity(
        entity=ENTITIES[name], schema=old.schema, table=part.table, key=part.key, columns=columns,
        deleted=part.deleted, deleted_is=tuple(each.lower() for each in part.deleted_is),
        only={key: tuple(values) for key, values in part.only.items()},
        lines=_mapped_lines(f"{place}.lines", ENTITIES[name], part.lines, old) if part.lines else None,
    )  # fmt: skip


def _mapped_lines(place: str, entity: Entity, part: LinesPart, old: OldPart) -> MappedLines:
    if not entity.lines:
        raise MappingError(f"{place}: a {entity.name} has no lines. Leave the part out.")
    if (part.key is None) == (part.order_by is None):
        raise MappingError(f'{place}: say how lines are told apart: by key, the column with Zoho\'s id of a line, or'
                           ' by order_by, a column in whose order they stand.')  # fmt: skip
    [declared] = entity.lines
    fields = {each.name: each for each in declared.fields}
    columns = tuple(_mapped_column(place, key, line, fields, old) for key, line in part.columns.items())
    if not columns:
        raise MappingError(f'{place}.columns: no field is compared. Write for example: quantity = "qty".')
    return MappedLines(
        name=declared.name, place=place, here=entity.line_tables[declared.name].fullname, table=part.table,
        parent=part.parent, columns=columns, key=part.key, order_by=part.order_by, deleted=part.deleted,
        deleted_is=tuple(each.lower() for each in part.deleted_is),
    )  # fmt: skip


def _fields_of(entity: Entity) -> dict[str, Field]:
    return {each.name: each for each in (*entity.fields, MODIFIED_AT)}


def _mapped_column(
    place: str, name: str, line: str | ColumnLine, fields: Mapping[str, Field], old: OldPart
) -> MappedColumn:
    where = f"{place}.columns.{name}"
    declared = fields.get(name)
    if declared is None:
        raise MappingError(f"{where}: {place.partition('.')[2]} has no field {name!r}. Fields: {', '.join(fields)}.")
    kind = kind_of(declared)
    if kind not in COMPARED_KINDS:
        raise MappingError(f"{where}: a field of kind {kind} is not compared. Leave it out; for the ERP"
                           " write a view of your own: [views.NAME].")  # fmt: skip
    spelled = line if isinstance(line, ColumnLine) else ColumnLine(line)
    if spelled.words and spelled.conversion:
        raise MappingError(f'{where}: it has both "as" and "words". Leave one out.')
    if spelled.words and kind not in ("text", "boolean"):
        raise MappingError(f"{where}: words are for fields that are text or boolean; {name} is a {kind}.")
    if kind == "boolean" and (wrong := set(spelled.words.values()) - {"true", "false"}):
        raise MappingError(f"{where}.words: {sorted(wrong)[0]!r} is neither true nor false.")
    zone = spelled.time_zone or old.time_zone
    _check_zone(f"{where}.time_zone", zone)
    return MappedColumn(
        field=declared, column=spelled.column, conversion=spelled.conversion, words=spelled.words, time_zone=zone
    )


def _check_zone(place: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise MappingError(f"{place}: {zone!r} is no time zone. Write for example Asia/Baghdad, or UTC.") from None
