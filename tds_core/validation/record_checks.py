"""Record checks: queries for records that break a rule by themselves, or beside others of their entity."""

from collections.abc import Iterator

from tds_core.quality.unreadable_values import UNREADABLE
from tds_core.validation import total_checks
from tds_core.validation.rules import Check, Rule, Severities
from tds_models.entities.declaration import Entity, Lines
from tds_models.entities.fields import Field
from tds_models.findings import Severity

#: A record that the source has not shown for so long is stale.
STALE_DAYS = 7


def integrity_checks(entity: Entity, severities: Severities) -> Iterator[Check]:
    """The checks of required fields, ranges, duplicates, totals and age."""
    rules = [*_required(entity, severities), *_ranges(entity, severities)]
    if rules:
        yield Check(entity, "fields", _rows_query(entity, rules))
    for lines in entity.lines:
        least = [field for field in lines.fields if field.least is not None]
        if least:
            yield Check(entity, f"fields of {lines.name}", _lines_query(entity, lines, least))
    for field in entity.fields:
        if field.unique:
            yield Check(entity, f"{field.name} once", _unique_query(entity, field, severities))
    yield from total_checks.checks_of(entity)
    yield Check(entity, "age", _stale_query(entity))


def intake_checks(entity: Entity) -> Iterator[Check]:
    """The checks of what intake could not read: values that were left out, and records that were refused."""
    yield Check(entity, "values that could not be read", _unreadable_query(entity))
    yield Check(entity, "refused records", _dead_letter_query(entity))


# One broken rule of a row: rule, severity, field, value, says and the condition, as SQL over the row `t`.
_BrokenRule = tuple[Rule, Severity, str, str, str, str]


def _required(entity: Entity, severities: Severities) -> Iterator[_BrokenRule]:
    for field in entity.required:
        if field.required:
            severity = severities.of(Rule.REQUIRED, field.name, field.required)
            # What a list row does not show is not missing until the record was read.
            read = "" if field.listed or not entity.header_first else " and t.lines_confirmed_at is not null"
            yield Rule.REQUIRED, severity, field.name, "null", "required, but empty", f"t.{field.name} is null{read}"


def _ranges(entity: Entity, severities: Severities) -> Iterator[_BrokenRule]:
    for field in entity.fields:
        if field.least is not None:
            severity = severities.of(Rule.RANGE, field.name, field.least_severity)
            says, broken = f"is less than {field.least}", f"t.{field.name} < {field.least}"
            yield Rule.RANGE, severity, field.name, f"t.{field.name}::text", says, broken


def _rows_query(entity: Entity, rules: list[_BrokenRule]) -> str:
    values = ", ".join(
        f"('{rule}', '{severity}', '{field}', {value}, '{says}', {broken})"
        for rule, severity, field, value, says, broken in rules
    )
    any_broken = " or ".join(broken for *_, broken in rules)
    return f"""
        select t.source_id, v.rule, v.severity, v.field, v.value, v.says
        from {entity.table.fullname} t cross join lateral (values {values})
            as v(rule, severity, field, value, says, is_broken)
        where t.deleted_at is null and ({any_broken}) and v.is_broken"""


def _lines_query(entity: Entity, lines: Lines, fields: list[Field]) -> str:
    values = ", ".join(
        f"('{field.least_severity}', '{lines.name}.{field.name}', l.{field.name}::text,"
        f" 'is less than {field.least}', l.{field.name} < {field.least})"
        for field in fields
    )
    any_broken = " or ".join(f"l.{field.name} < {field.least}" for field in fields)
    return f"""
        select t.source_id, '{Rule.RANGE}' as rule, v.severity, v.field, v.value, v.says
        from {entity.line_tables[lines.name].fullname} l
        join {entity.table.fullname} t on (t.source, t.source_id) = (l.source, l.parent_id)
        cross join lateral (values {values}) as v(severity, field, value, says, is_broken)
        where t.deleted_at is null and ({any_broken}) and v.is_broken"""


def _unique_query(entity: Entity, field: Field, severities: Severities) -> str:
    table, name = entity.table.fullname, field.name
    severity = severities.of(Rule.UNIQUE, name, field.unique or Severity.ERROR)
    return f"""
        with doubled as (
            select {name} as value from {table} where deleted_at is null and {name} is not null
            group by {name} having count(*) > 1
        ), named as (
            select d.value, count(*) as record_count, (array_agg(t.source_id order by t.source_id))[1:3] as ids
            from doubled d join {table} t on t.{name} = d.value and t.deleted_at is null group by d.value
        )
        select t.source_id, '{Rule.UNIQUE}' as rule, '{severity}' as severity, '{name}' as field, t.{name} as value,
            format('%s records have it: %s', n.record_count, array_to_string(n.ids, ', ')
                || case when n.record_count > 3 then ', ...' else '' end) as says
        from {table} t join named n on n.value = t.{name} where t.deleted_at is null"""


def _stale_query(entity: Entity) -> str:
    """What was confirmed long ago and what no full pass has shown since; a pass leaves rows that are as it shows them
    untouched.
    """
    return f"""
        select t.source_id, '{Rule.STALE}' as rule, '{Severity.WARNING}' as severity, 'confirmed_at' as field,
            t.confirmed_at::text as value,
            case when t.confirmed_at is null then 'only a webhook has shown it, more than {STALE_DAYS} days ago'
                else 'not seen at the source for more than {STALE_DAYS} days' end as says
        from {entity.table.fullname} t
        where t.deleted_at is null and coalesce(t.confirmed_at, t.changed_at) < now() - interval '{STALE_DAYS} days'
            and (t.confirmed_at is null or not (select exists (
                select from tds_sync_runs r where r.source = '{entity.stream.source}' and r.entity = '{entity.name}'
                    and r.mode = 'full' and r.state = 'completed' and r.outcomes ? 'absent'
                    and r.started_at > now() - interval '{STALE_DAYS} days')))"""


def _unreadable_query(entity: Entity) -> str:
    return f"""
        select t.source_id, '{Rule.TYPE}' as rule, '{Severity.ERROR}' as severity,
            coalesce(f.detail ->> 'field', f.detail ->> 'key') as field, f.detail ->> 'value' as value,
            'could not be read and was left out: ' || coalesce(f.detail ->> 'reason', 'no reason is known') as says
        from tds_findings f join {entity.table.fullname} t
            on (t.source, t.source_id) = (f.source, f.detail ->> 'source_id')
        where f.kind = '{UNREADABLE}' and f.entity = '{entity.name}' and f.resolved_at is null
            and t.deleted_at is null"""


def _dead_letter_query(entity: Entity) -> str:
    return f"""
        select source_id, '{Rule.DEAD_LETTER}' as rule, '{Severity.ERROR}' as severity,
            coalesce(substring(error from '^([A-Za-z0-9_.\\[\\]]+): '), 'record') as field, id::text as value,
            'refused: ' || left(error, 300) as says
        from (select distinct on (source_id) source_id, id, error from tds_dead_letter_queue
            where entity = '{entity.name}' and error_class = 'validation' and resolved_at is null
            order by source_id, id desc) newest"""
