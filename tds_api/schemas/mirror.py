"""Schemas of mirror rows, made from the entity declarations; of entity statuses; and of a record's timeline."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import Schema, fields, pre_load, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    Instant,
    PageArgumentsSchema,
    entity_field,
    exact_field,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_core.explain.step_queries import KINDS
from tds_core.mirror import row_filters
from tds_core.mirror.row_filters import UnknownFilterError
from tds_models.entities import ENTITIES
from tds_models.entities import fields as kinds

_FIELD_OF_KIND: dict[str, Any] = {
    kinds.TEXT.name: lambda: fields.String(allow_none=True),
    kinds.NUMBER.name: lambda: exact_field(allow_none=True),
    kinds.INTEGER.name: lambda: fields.Integer(allow_none=True),
    kinds.BOOLEAN.name: lambda: fields.Boolean(allow_none=True),
    kinds.DATE.name: lambda: fields.Date(allow_none=True),
    kinds.INSTANT.name: lambda: fields.AwareDateTime(allow_none=True),
    kinds.REFERENCE.name: lambda: fields.String(allow_none=True),
    kinds.JSON.name: lambda: fields.Raw(allow_none=True),
    # An object; it is passed on as it was kept, which a Dict field would take apart.
    kinds.CUSTOM.name: lambda: fields.Raw(allow_none=True, metadata={"description": "an object: value by name"}),
}


def _declared(declared: tuple[kinds.Field, ...]) -> dict[str, Any]:
    return {field.name: _FIELD_OF_KIND[field.kind.name]() for field in declared}


def _name(entity: str) -> str:
    return "".join(part.title() for part in entity.split("_"))


@cache
def row_schema(entity: str) -> type[Schema]:
    """A row of `entity` as lists show it. Numbers are text, exactly as they are kept."""
    members: dict[str, Any] = {
        "source": fields.String(),
        "source_id": id_field(),
        **_declared(ENTITIES[entity].fields),
        **({"lines_confirmed_at": perhaps_instant_field()} if ENTITIES[entity].header_first else {}),
        "source_modified_at": perhaps_instant_field(),
        "source_record_at": perhaps_instant_field("when the source last changed the state in source_record"),
        "source_record_seen": fields.String(
            allow_none=True, metadata={"description": "the door source_record came by: list, part, body or detail"}
        ),
        "version": fields.Integer(),
        "created_at": instant_field(),
        "changed_at": instant_field(),
        "confirmed_at": perhaps_instant_field(),
        "deleted_at": perhaps_instant_field(),
    }
    return Schema.from_dict(members, name=_name(entity))


@cache
def whole_row_schema(entity: str) -> type[Schema]:
    """A row of `entity` with its lines and the source's own record."""
    members: dict[str, Any] = {"source_record": fields.Raw()}
    for lines in ENTITIES[entity].lines:
        shape: dict[str, Any] = {"position": fields.Integer(), "line_id": id_field(), **_declared(lines.fields)}
        members[lines.name] = fields.List(
            fields.Nested(Schema.from_dict(shape, name=_name(f"{entity}_{lines.name.removesuffix('s')}")))
        )
    return type(f"Whole{_name(entity)}", (row_schema(entity),), members)


def as_of_field() -> Instant:
    """The moment as of which to read."""
    return Instant(
        format="iso", metadata={"description": "as it stood then, from the history; without the source's own record"}
    )


class AsOfArgumentsSchema(ArgumentsSchema):
    """As of when."""

    as_of = as_of_field()


class RowArgumentsSchema(PageArgumentsSchema):
    """Which rows of an entity. With `as_of`, a page can hold fewer rows than asked for and not be the last.

    Other names than those of the entity's filters are refused: a filter that is none would mean all rows.
    """

    as_of = as_of_field()
    changed_since = instant_field()
    deleted = fields.Boolean(metadata={"description": "only tombstones, or only live rows"})
    confirmed = fields.Boolean(
        metadata={"description": "only what the source's API has shown, or only what it has not"}
    )


_FILTERS: Mapping[kinds.Filter, str] = {
    kinds.Filter.VALUE: "the whole value",
    kinds.Filter.CODE: "the whole value, in any case",
    kinds.Filter.BEGINNING: "the beginning of the value, in any case",
    kinds.Filter.REFERENCE: "its id, or its whole name in any case",
}


@cache
def row_arguments_schema(entity: str) -> type[Schema]:
    """Which rows of `entity`: a page of them, by its own filters."""

    def refuse_unknown(_schema: Schema, arguments: Any, **_more: Any) -> Any:
        for name in arguments:
            if name not in members and name not in RowArgumentsSchema._declared_fields:
                raise UnknownFilterError(row_filters.unknown_filter(ENTITIES[entity], str(name)))
        return arguments

    members: dict[str, Any] = {}
    for name, field in ENTITIES[entity].filters.items():
        members[name] = name_field()
        members[name].metadata["description"] = _FILTERS[kinds.Filter(field.filtered_by)]
    checked = {**members, "refuse_unknown": pre_load(refuse_unknown)}
    return type(f"{_name(entity)}Arguments", (RowArgumentsSchema,), checked)


class SearchArgumentsSchema(ArgumentsSchema):
    """What to search for."""

    q = name_field()
    q.required = True
    q.metadata["description"] = "the beginning of a number, a SKU, a name or an id, in any case"
    entity = entity_field()


class HitSchema(Schema):
    """A record that was found."""

    entity = fields.String()
    source_id = id_field()
    label = fields.String(allow_none=True, metadata={"description": "what a person knows it by"})
    matched = fields.String(metadata={"description": "the field that begins so"})
    deleted_at = perhaps_instant_field()


class HitsSchema(Schema):
    """The records that were found: exact ones first, then live ones before deleted ones."""

    items = fields.List(fields.Nested(HitSchema))
    has_more = fields.Boolean(metadata={"description": "more begin so than are shown: write more of it"})


class ChangeSchema(Schema):
    """One version of a record."""

    version = fields.Integer()
    operation = fields.String()
    changes = fields.Raw(metadata={"description": "by field: before and after"})
    origin = fields.String()
    origin_id = id_field(allow_none=True)
    correlation_id = fields.String()
    source_modified_at = perhaps_instant_field()
    recorded_at = instant_field()


class LastRunSchema(Schema):
    """The newest run of an entity."""

    id = id_field()
    mode = fields.String()
    state = fields.String()
    requested_at = instant_field()
    ended_at = perhaps_instant_field()
    end_reason = fields.String(allow_none=True)


class EntityStatusSchema(Schema):
    """The status of an entity."""

    entity = fields.String()
    title = fields.String()
    counted_at = instant_field()
    is_estimated = fields.Boolean(
        metadata={"description": "too many to be counted now, and not counted yet: live_count is about, others null"}
    )
    live_count = fields.Integer()
    deleted_count = fields.Integer(allow_none=True)
    unconfirmed_count = fields.Integer(
        allow_none=True, metadata={"description": "known from a webhook only, not confirmed by a list"}
    )
    details_left = fields.Integer(
        allow_none=True, metadata={"description": "known by a list row alone; null where a list row is all there is"}
    )
    details_end_at = perhaps_instant_field("when the quota lets the last of them be read")
    newest_modified_at = perhaps_instant_field()
    last_changed_at = perhaps_instant_field()
    cursor_at = perhaps_instant_field()
    last_run = fields.Nested(LastRunSchema, allow_none=True)


class StoryArgumentsSchema(PageArgumentsSchema):
    """Which part of a timeline."""

    field = name_field()
    field.metadata["description"] = "what set this field, and what could have and did not"
    since = instant_field()
    until = instant_field()


class StepSchema(Schema):
    """One step of a record's timeline."""

    at = instant_field()
    kind = fields.String(validate=validate.OneOf([kind.name for kind in KINDS]))
    correlation_id = fields.String()
    detail = fields.Raw()


class VerdictSchema(Schema):
    """The state of a record, in words."""

    state = fields.String(
        validate=validate.OneOf(
            ["equal", "listed", "unconfirmed", "owed", "dead_letter", "refused", "deleted", "unknown"]
        )
    )
    says = fields.String()
    last_change = fields.String(allow_none=True)
    field = fields.String(allow_none=True, metadata={"description": "why the field that was asked about is as it is"})
    next = fields.String(allow_none=True, metadata={"description": "a command to go on with"})


class ExplanationSchema(Schema):
    """The timeline of a record, its state, and its pending work item."""

    entity = fields.String()
    source_id = id_field()
    verdict = fields.Nested(VerdictSchema)
    steps = fields.List(fields.Nested(StepSchema), metadata={"description": "the newest ones, in the order of time"})
    next_cursor = fields.String(allow_none=True, metadata={"description": "leads to the steps before these"})
    owed = fields.Raw(allow_none=True)
