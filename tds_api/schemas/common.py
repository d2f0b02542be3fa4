"""Schemas and fields that all resources share: pages, their arguments, problem documents, instants, ids and numbers."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, fields, validate

from tds_core.pagination import LARGEST_PAGE
from tds_models.entities import ENTITIES


class ArgumentsSchema(Schema):
    """Arguments of a request; unknown ones are ignored."""

    class Meta:
        unknown = EXCLUDE


class PageArgumentsSchema(ArgumentsSchema):
    """Which page of a list."""

    cursor = fields.String(
        validate=validate.Length(max=500), metadata={"description": "`next_cursor` of the page before"}
    )
    limit = fields.Integer(load_default=50, validate=validate.Range(1, LARGEST_PAGE))


class ProblemSchema(Schema):
    """A problem document (RFC 9457); some have members of their own."""

    class Meta:
        unknown = INCLUDE

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"description": "stable, for programs"})
    correlation_id = fields.String()
    errors = fields.Dict(metadata={"description": "of invalid_arguments: what is wrong, by where it was given"})


class Whole(validate.Regexp):
    """A pattern that a whole text must match; anchored in the API description, as all languages understand it."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"^{pattern}$")
        self._whole = re.compile(pattern)

    def __call__(self, value: str) -> str:
        if self._whole.fullmatch(value) is None:
            raise ValidationError(self._format_error(value))
        return value


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_LEAP_SECOND = re.compile(r"(T\d\d:\d\d:)60")


class Instant(fields.AwareDateTime):
    """A moment with its zone, in every spelling of RFC 3339.

    A leap second is the one before it. What lies outside the years PostgreSQL and Python share is the nearest moment
    inside them.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> datetime:
        text = _LEAP_SECOND.sub(r"\g<1>59", value.upper()) if isinstance(value, str) else value
        if isinstance(text, str) and text.startswith("0000-"):
            super()._deserialize(f"0004-{text[5:]}", attr, data, **more)  # the rest of it must be right all the same
            return _FIRST
        moment: datetime = super()._deserialize(text, attr, data, **more)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            return _FIRST if moment.year == 1 else _LAST


def entity_field() -> fields.String:
    """The name of an entity."""
    return fields.String(validate=validate.OneOf(list(ENTITIES)))


def instant_field() -> Instant:
    """A moment with its zone."""
    return Instant(format="iso")


def perhaps_instant_field(description: str = "") -> Instant:
    """A moment with its zone, or null where it has not come or is unknown."""
    metadata = {"description": description} if description else {}
    return Instant(format="iso", allow_none=True, metadata=metadata)


def name_field() -> fields.String:
    """Text to filter by, without NUL, which PostgreSQL cannot store."""
    return fields.String(validate=Whole(r"[^\x00]{1,200}"))


def exact_field(*, allow_none: bool = False) -> fields.Decimal:
    """An exact decimal, as text: many JSON parsers turn numbers into floats."""
    return fields.Decimal(as_string=True, allow_none=allow_none, metadata={"type": "string"})


def id_field(*, allow_none: bool = False) -> fields.String:
    """An id, as text: many JSON parsers turn long numbers into floats."""
    return fields.String(allow_none=allow_none)


@cache
def page_schema(items: type[Schema]) -> type[Schema]:
    """The schema of a page of `items`."""
    members: dict[str, Any] = {
        "items": fields.List(fields.Nested(items)),
        "next_cursor": fields.String(allow_none=True, metadata={"description": "null on the last page"}),
    }
    return Schema.from_dict(members, name=f"{items.__name__.removesuffix('Schema')}Page")
