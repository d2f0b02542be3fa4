"""The page of all tables, views and functions of the database, from the models and the migrations."""

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import cleandoc
from pkgutil import iter_modules

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

import tds_models
from tds_models.base import Base
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import Field
from tests.house.code import ROOT
from tests.support.reference.markdown import cell, code, page, table

OPENING = """Made from the models (`make reference`). The mirror is in the schema `erp`, all else in `public`. Read
the mirror and the views as `tds_reader` ([database-roles.md](../database-roles.md)); the tables of TDS
itself may change with every version, and `CHANGELOG.md` says when. Money is `NUMERIC`, a moment has
its zone, an id is text."""
MIRROR = """The table of an entity has a row for each record, deleted ones too (`deleted_at`); a table of its
parts, such as lines, has one for each part, in their order. Beside its own columns below, the table of
every entity has these:"""
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
#: How a view or a function begins and ends in a migration.
VIEW = re.compile(r"^create (?:or replace )?view (\w+) as.*?;$", re.MULTILINE | re.DOTALL)
FUNCTION = re.compile(
    r"^create (?:or replace )?function (tds_(?:get|retire|freeze)\w+)\(.*?\$\$.*?\$\$;$", re.MULTILINE | re.DOTALL
)


def default_of(column: Column[object]) -> str:
    """What the database puts where nothing is given."""
    argument = getattr(column.server_default, "arg", None)
    if argument is None or isinstance(argument, str):
        return argument or ""
    return str(argument.compile(dialect=DIALECT))


def constraints(column: Column[object]) -> list[str]:
    """What a column's values are bound to."""
    notes = ["key"] if column.primary_key else [] if column.nullable else ["never null"]
    notes += [f"refers to {code(each.target_fullname)}" for each in column.foreign_keys]
    return [*notes, *([f"default {code(default_of(column))}"] if default_of(column) else [])]


def columns(some: Iterable[Column[object]]) -> list[str]:
    """The table of some columns."""
    rows = ((code(each.name), type_of(each), ", ".join(constraints(each)), cell(each.comment or "")) for each in some)
    return table(("column", "type", "", "says"), rows)


def type_of(column: Column[object]) -> str:
    """A column's type, as PostgreSQL spells it."""
    return str(column.type.compile(dialect=DIALECT)).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")


def indexes(of: Table) -> list[str]:
    """The line on a table's indexes; none without."""
    ordered = sorted(of.indexes, key=lambda each: str(each.name))
    shown = [f"{code(each.name)} ({', '.join(str(part.name) for part in each.columns)})" for each in ordered]
    return [f"Indexes: {', '.join(shown)}.", ""] if shown else []


def own_tables() -> Iterator[str]:
    """The parts of TDS' own tables, by the module that has them."""
    modules = [import_module(f"tds_models.{each.name}") for each in iter_modules(tds_models.__path__)]
    models = sorted(Base.registry.mappers, key=lambda each: str(each.local_table))
    for module in modules:
        mappers = [each for each in models if each.class_.__module__ == module.__name__]
        if mappers:
            yield from (f"## {cell((module.__doc__ or '').split('.')[0])}", "")
        for mapper in mappers:
            of = mapper.local_table
            if isinstance(of, Table):
                sentences = cell(cleandoc(mapper.class_.__doc__ or ""))
                yield from (f"### {of.fullname}", "", sentences, "", *columns(of.columns), *indexes(of))


def rules(field: Field) -> str:
    """What a field's values should keep, and what else is true of them."""
    notes = [
        "should have a value" if field.required else "",
        "should occur once" if field.unique else "",
        f"{field.least} or more" if field.least is not None else "",
        f"refers to {field.refers_to}" if field.refers_to else "",
        "personal" if field.personal else "",
        "a filter of lists" if field.filtered_by else "",
    ]
    return ", ".join(filter(None, notes))


def fields(of: Table, declared: Iterable[Field]) -> list[str]:
    """The table of an entity's own columns, with the source's name of each."""
    rows = (
        (code(each.name), type_of(of.columns[each.name]), code(each.key), rules(each))
        for each in declared
        if each.name in of.columns
    )
    return table(("column", "type", "in Zoho", ""), rows)


def mirror_tables() -> Iterator[str]:
    """The parts of the mirror: what all have, then each entity, then its lines."""
    entities = list(ENTITIES.values())
    own = {each.name for entity in entities for each in entity.fields}
    yield from (
        "## The mirror",
        "",
        MIRROR,
        "",
        *columns(each for each in entities[0].table.columns if each.name not in own),
    )
    for entity in entities:
        yield from _mirrored(entity)


def _mirrored(entity: Entity) -> Iterator[str]:
    yield from (f"### {entity.table.fullname}", "", f"{entity.title}.", "")
    yield from (*fields(entity.table, entity.fields), *indexes(entity.table))
    for name, lines in entity.line_tables.items():
        yield from (
            f"### {lines.fullname}",
            "",
            f"The part {code(name)} of a row of {code(entity.table.fullname)}.",
            "",
        )
        yield from (*columns(lines.columns), *indexes(lines))


def definitions(pattern: re.Pattern[str]) -> dict[str, str]:
    """The newest definition of each view, or function, that a migration makes."""
    texts = [
        path.read_text().partition("def upgrade")[0] for path in sorted((ROOT / "migrations/versions").glob("*.py"))
    ]
    return {match.group(1): match.group(0) for text in texts for match in pattern.finditer(text)}


def as_sql(found: dict[str, str]) -> Iterable[str]:
    """The parts of views or functions."""
    for name, definition in sorted(found.items()):
        yield from (f"### {name}", "", "```sql", definition, "```", "")


def tables_page() -> str:
    """The page, as it should stand in `docs/reference/tables.md`."""
    lines = [
        *mirror_tables(),
        "## Views",
        "",
        *as_sql(definitions(VIEW)),
        "## Functions",
        "",
        *as_sql(definitions(FUNCTION)),
    ]
    return page("Every table, view and function", OPENING, [*lines, *own_tables()])
