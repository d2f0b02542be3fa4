"""Reference checks: queries for references that lead nowhere, lines without a parent, products without a category."""

from collections.abc import Iterator

from tds_core.validation.rules import Check, Rule
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity, Lines
from tds_models.findings import Severity

#: What Zoho calls the root of a tree, which has no record.
ROOT = "-1"
#: The reference that says where a product belongs: one without it is an orphan where the organisation has categories.
_PLACED_BY = ("product", "category_id")


def reference_checks(entity: Entity) -> Iterator[Check]:
    """The checks that what a record and its lines name is in the mirror."""
    for field in entity.fields:
        if field.refers_to:
            yield Check(entity, field.name, _reference_query(entity, field.name, ENTITIES[field.refers_to]))
    for lines in entity.lines:
        for field in lines.fields:
            if field.refers_to:
                name = f"{lines.name}.{field.name}"
                yield Check(entity, name, _line_reference_query(entity, lines, field.name, ENTITIES[field.refers_to]))
    for name, lines_name in entity.fed_by.items():
        if lines_name is None:  # its records are a part of the other's, under the same id
            yield Check(entity, f"the {name}", _reference_query(entity, "source_id", ENTITIES[name]))


def orphan_checks(entity: Entity) -> Iterator[Check]:
    """The checks of references, of lines without their record, and of products without a category."""
    yield from reference_checks(entity)
    for lines in entity.lines:
        yield Check(entity, f"parents of {lines.name}", _parent_query(entity, lines))
    if entity.name == _PLACED_BY[0]:
        yield Check(entity, "category", _category_query(entity))


def _leads(target: Entity, reference: str) -> str:
    """What is wrong with a `reference` that leads to no living record of `target`."""
    return f"""case when exists (select from {target.table.fullname} d
                where (d.source, d.source_id) = (t.source, {reference}))
            then 'leads to a deleted {target.name}' else 'leads nowhere: the mirror has no such {target.name}' end"""


def _reference_query(entity: Entity, name: str, target: Entity) -> str:
    return f"""
        select t.source_id, '{Rule.REFERENCE}' as rule, '{Severity.WARNING}' as severity, '{name}' as field,
            t.{name} as value, {_leads(target, f"t.{name}")} as says
        from {entity.table.fullname} t
        where t.deleted_at is null and t.{name} <> '{ROOT}' and not exists (
            select from {target.table.fullname} r
            where (r.source, r.source_id) = (t.source, t.{name}) and r.deleted_at is null)"""


def _line_reference_query(entity: Entity, lines: Lines, name: str, target: Entity) -> str:
    return f"""
        select distinct t.source_id, '{Rule.REFERENCE}' as rule, '{Severity.WARNING}' as severity,
            '{lines.name}.{name}' as field, l.{name} as value, {_leads(target, f"l.{name}")} as says
        from {entity.line_tables[lines.name].fullname} l
        join {entity.table.fullname} t on (t.source, t.source_id) = (l.source, l.parent_id)
        where t.deleted_at is null and l.{name} <> '{ROOT}' and not exists (
            select from {target.table.fullname} r
            where (r.source, r.source_id) = (l.source, l.{name}) and r.deleted_at is null)"""


def _parent_query(entity: Entity, lines: Lines) -> str:
    return f"""
        select distinct l.parent_id as source_id, '{Rule.PARENT}' as rule, '{Severity.ERROR}' as severity,
            '{lines.name}' as field, l.parent_id as value, 'lines of a {entity.name} that is not there' as says
        from {entity.line_tables[lines.name].fullname} l
        where not exists (select from {entity.table.fullname} t
            where (t.source, t.source_id) = (l.source, l.parent_id))"""


def _category_query(entity: Entity) -> str:
    """Products that were read and have no category; an organisation without any category has none to miss."""
    name, category = _PLACED_BY[1], ENTITIES["category"]
    return f"""
        select t.source_id, '{Rule.CATEGORY}' as rule, '{Severity.WARNING}' as severity, '{name}' as field,
            t.{name} as value, 'no category' as says
        from {entity.table.fullname} t
        where t.deleted_at is null and (t.{name} is null or t.{name} = '{ROOT}') and t.lines_confirmed_at is not null
            and (select exists (select from {category.table.fullname} c where c.deleted_at is null))"""
