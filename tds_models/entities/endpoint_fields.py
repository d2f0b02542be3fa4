"""By which door a field is shown, and what its key is called in organisations that Zoho has not moved yet."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from tds_models.entities.fields import Field, refers


class Older(NamedTuple):
    """A key some organisations still have, the one it is called now, our name, and what true and false are now."""

    key: str
    now: str
    name: str
    means: Mapping[bool, Any]


def older_keys(fields: tuple[Field, ...]) -> tuple[Older, ...]:
    """The older keys of `fields`."""
    return tuple(Older(each.older, each.key, each.name, each.older_means) for each in fields if each.older)


def unlisted(*fields: Field) -> tuple[Field, ...]:
    """The same fields, which list rows do not show: only a record read whole does."""
    return tuple(replace(each, listed=False) for each in fields)


def undetailed(*fields: Field) -> tuple[Field, ...]:
    """The same fields, of which nobody says that details show them: one without the key says nothing by that."""
    return tuple(replace(each, detailed=False) for each in fields)


def older(key: str, declared: Field, means: Mapping[bool, Any] | None = None) -> Field:
    """The same field, which some organisations still call `key`; `means`: what its true and false are called now."""
    return replace(declared, older=key, older_means=means or {})


def place(*, listed: bool = True) -> Field:
    """The location a document or a line belongs to; before locations there were warehouses."""
    return replace(older("warehouse_id", refers("location_id", to="location")), listed=listed)
