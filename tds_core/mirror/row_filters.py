"""Row filters: conditions on the rows of an entity by the fields its declaration lets be filtered by.

Each condition is written as the index of its field has it, which covers the beginning of a value; the whole value is
compared beside it.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import ColumnElement, and_, any_, func, literal, select, union_all

from tds_core.errors import TdsError
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import Field, Filter
from tds_models.entities.table_factory import INDEXED_CHARACTERS


class UnknownFilterError(TdsError):
    """The entity has no such filter."""

    code = "unknown_filter"


def folded(value: ColumnElement[str]) -> ColumnElement[str]:
    """The indexed beginning of a text, in small letters."""
    return func.lower(func.left(value, INDEXED_CHARACTERS))


def begins(column: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    """Whether a text begins with `beginning`, in any case; at most INDEXED_CHARACTERS of it count."""
    return folded(column).like(func.lower(beginning_pattern(beginning)))


def beginning_pattern(beginning: str) -> str:
    """The LIKE pattern of texts that begin so; at most INDEXED_CHARACTERS count."""
    escaped = beginning[:INDEXED_CHARACTERS].replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"{escaped}%"


def conditions(entity: Entity, filters: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """The conditions of `filters`, by their names. Raises UnknownFilterError, which names the filters there are."""
    for name in filters:
        if name not in entity.filters:
            raise UnknownFilterError(unknown_filter(entity, name))
    declared = [(entity.filters[name], value) for name, value in filters.items()]
    return [_CONDITIONS[field.filtered_by](entity, field, value) for field, value in declared]


def unknown_filter(entity: Entity, name: str) -> str:
    """A sentence on a filter that an entity lacks, with those it has."""
    return f"{entity.title} cannot be filtered by {name[:40]!r}. Filters: {', '.join(entity.filters) or 'none'}."


def _is_value(entity: Entity, field: Field, value: str) -> ColumnElement[bool]:
    column = entity.table.c[field.name]
    return and_(func.left(column, INDEXED_CHARACTERS) == func.left(value, INDEXED_CHARACTERS), column == value)


def _is_code(entity: Entity, field: Field, value: str) -> ColumnElement[bool]:
    column = entity.table.c[field.name]
    return and_(folded(column) == folded(literal(value)), func.lower(column) == func.lower(value))


def _begins(entity: Entity, field: Field, value: str) -> ColumnElement[bool]:
    return begins(entity.table.c[field.name], value)


def _refers(entity: Entity, field: Field, value: str) -> ColumnElement[bool]:
    """The id that is referred to is `value`, or that of a record whose whole name is."""
    column = entity.table.c[field.name]
    target = ENTITIES[field.refers_to or ""]
    named = [each for each in target.searched if each.filtered_by is Filter.BEGINNING]
    ids = [select(literal(value))]
    for each in named:
        ids.append(select(target.table.c.source_id).where(_is_code(target, each, value)))
    return column == any_(func.array(union_all(*ids).scalar_subquery()))


_CONDITIONS: Mapping[Filter | None, Callable[[Entity, Field, str], ColumnElement[bool]]] = {
    Filter.VALUE: _is_value,
    Filter.CODE: _is_code,
    Filter.BEGINNING: _begins,
    Filter.REFERENCE: _refers,
}
