"""Fields by the endpoints that return them, by their rules, and by their legacy keys in organisations not migrated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from tds_models.entities.fields import Field, Filter, refers
from tds_models.findings import Severity


class Older(NamedTuple):
    """A legacy key, its present key, TDS's name of the field, and the present values of its true and false."""

    key: str
    now: str
    name: str
    means: Mapping[bool, Any]


def older_keys(fields: tuple[Field, ...]) -> tuple[Older, ...]:
    """The legacy keys of `fields`."""
    return tuple(Older(each.older, each.key, each.name, each.older_means) for each in fields if each.older)


def unlisted(*fields: Field) -> tuple[Field, ...]:
    """The same fields, absent in list rows."""
    return tuple(replace(each, listed=False) for each in fields)


def undetailed(*fields: Field) -> tuple[Field, ...]:
    """The same fields, which details may lack: a missing key does not mean an empty value."""
    return tuple(replace(each, detailed=False) for each in fields)


def required(declared: Field, severity: Severity = Severity.ERROR) -> Field:
    """The same field, which should have a value; `severity` of one without."""
    return replace(declared, required=severity)


def unique(declared: Field, severity: Severity = Severity.ERROR) -> Field:
    """The same field, whose value no two living records should share; `severity` of those that do."""
    return replace(declared, unique=severity)


def identifying(declared: Field) -> Field:
    """The same field, whose values say which person or company a record is about."""
    return replace(declared, identifying=True)


def filtered(declared: Field, by: Filter = Filter.VALUE) -> Field:
    """The same field, by which rows can be filtered."""
    return replace(declared, filtered_by=by)


def older(key: str, declared: Field, means: Mapping[bool, Any] | None = None) -> Field:
    """The same field with the legacy key `key`; `means`: the present values of its true and false."""
    return replace(declared, older=key, older_means=means or {})


def place(*, listed: bool = True) -> Field:
    """The location of a document or line; its legacy name is warehouse."""
    return replace(older("warehouse_id", refers("location_id", to="location")), listed=listed)
