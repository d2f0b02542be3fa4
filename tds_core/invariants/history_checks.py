"""Rebuild checks: compute every row and line from its history alone and compare it with the mirror."""

from collections.abc import Iterator

from tds_core.invariants.checks import BY_FORCE, HAS_PAST_TIME, RETIRED, Check, Promise
from tds_models.entities.declaration import Entity, Lines
from tds_models.entities.fields import CUSTOM, Field

_LOOK = "tds repair {entity}; tds explain {entity} {source_id}"


def checks_of(entity: Entity, *, of_ids: bool = False) -> Iterator[Check]:
    """The checks that rows of `entity` and their lines are what their history comes to.

    `of_ids`: only of the records in the parameter `:ids`.
    """
    yield Check(
        name=f"{entity.name}_stands_as_told",
        promise=Promise.DIFFERENT,
        says=f"a row of {entity.name} is at its newest version, as alive and as new as that says",
        broken=_versions_query(entity, _only(of_ids)),
        counted=f"select count(*) from {entity.table.fullname}",
        look=_LOOK,
    )
    yield Check(
        name=f"{entity.name}_equals_its_replay",
        promise=Promise.DIFFERENT,
        says=f"every field of a row of {entity.name} is what its history comes to",
        broken=_fields_query(entity, _only(of_ids)),
        counted=f"select count(*) from {entity.table.fullname}",
        look=_LOOK,
    )
    for lines in entity.lines:
        yield Check(
            name=f"{entity.name}_{lines.name}_equal_their_replay",
            promise=Promise.DIFFERENT,
            says=f"the {lines.name} of a row of {entity.name} are what its history comes to",
            broken=_lines_query(entity, lines, _only(of_ids)),
            counted=f"select count(*) from {entity.line_tables[lines.name].fullname}",
            look=_LOOK,
        )


def _only(of_ids: bool) -> str:
    return "source_id = any(:ids)" if of_ids else "true"


def _versions_query(entity: Entity, only: str) -> str:
    return f"""
        with rebuilt as (
            select source, source_id, max(version) as version,
                max(source_modified_at) filter (where {HAS_PAST_TIME} and not forced_again) as reached,
                (array_agg(operation order by version desc))[1] as operation
            from (select *, forced_count < max(forced_count) over (partition by source, source_id) as forced_again
                  from {BY_FORCE} f where entity = '{entity.name}' and {only}) a group by source, source_id
        )
        select '{entity.name}' as entity, source_id, concat_ws('; ',
            case when t.version is distinct from h.version then format('the row is at version %s, its history at %s',
                coalesce(t.version::text, '(no row)'), coalesce(h.version::text, '(none)')) end,
            case when (t.deleted_at is not null) <> (h.operation = 'deleted')
                then format('deleted at %s, but was %s last', coalesce(t.deleted_at::text, '(never)'), h.operation) end,
            case when h.reached is not null and (t.source_modified_at is null or t.source_modified_at < h.reached)
                then format('the row is of %s, its history reached %s', t.source_modified_at, h.reached) end) as found
        from (select * from {entity.table.fullname} where {only}) t full join rebuilt h using (source, source_id)
        where not (h.version is null and {RETIRED}) and (
            t.version is distinct from h.version or (t.deleted_at is not null) <> (h.operation = 'deleted')
            or (h.reached is not null and (t.source_modified_at is null or t.source_modified_at < h.reached)))"""


# Of a key that several versions changed, an object keeps the value that was added last.
def _fields_query(entity: Entity, only: str) -> str:
    stands = ", ".join(f"t.{field.name}" for field in entity.fields)
    came_to = ", ".join(_non_blank(f"r.{field.name}", field) for field in entity.fields)
    names = ", ".join(
        f"case when t.{field.name} is distinct from {_non_blank(f'r.{field.name}', field)} then '{field.name}' end"
        for field in entity.fields
    )
    return f"""
        with rebuilt as (
            select a.source, a.source_id, jsonb_object_agg(c.key, c.value -> 1 order by a.version) as state
            from tds_audit_trail a cross join lateral jsonb_each(a.changes) c
            where a.entity = '{entity.name}' and {only} group by a.source, a.source_id
        )
        select '{entity.name}' as entity, t.source_id, 'not what the history comes to: '
            || array_to_string(array_remove(array[{names}], null), ', ') as found
        from (select * from {entity.table.fullname} where {only}) t left join rebuilt using (source, source_id)
        cross join lateral jsonb_to_record({_initial_state(entity)} || coalesce(rebuilt.state, '{{}}'))
            as r({_typed(entity.fields)})
        where ({stands}) is distinct from ({came_to})"""


def _initial_state(entity: Entity) -> str:
    """What a rebuild starts from: nothing, or the row itself where the beginning of its history was retired."""
    return f"""
        case when {RETIRED} and not exists (
            select from tds_audit_trail a where (a.entity, a.source_id, a.source, a.version)
                = ('{entity.name}', t.source_id, t.source, 1))
        then to_jsonb(t) - 'source_record' else '{{}}' end"""


def _lines_query(entity: Entity, lines: Lines, only: str) -> str:
    names = "".join(f", {_non_blank(f'l.{field.name}', field)}" for field in lines.fields)
    line_id = _NOT_BLANK.format(value="l.line_id")
    return f"""
        with newest as (
            select distinct on (source, source_id) source, source_id, changes -> '{lines.name}' -> 1 as value
            from tds_audit_trail where entity = '{entity.name}' and changes ? '{lines.name}' and {only}
            order by source, source_id, version desc
        ), rebuilt as (
            select n.source, n.source_id, jsonb_agg(jsonb_build_array(l.position, {line_id}{names})
                order by l.position) as lines
            from newest n cross join lateral jsonb_to_recordset(
                case when jsonb_typeof(n.value) = 'array' then n.value else '[]' end
            ) as l(position int, line_id text, {_typed(lines.fields)}) group by n.source, n.source_id
        ), present as (
            select source, parent_id as source_id, jsonb_agg(jsonb_build_array(l.position, {line_id}{names})
                order by l.position) as lines
            from (select *, parent_id as source_id from {entity.line_tables[lines.name].fullname}) l where {only}
            group by source, parent_id
        )
        select '{entity.name}' as entity, source_id, format('%s {lines.name} stand, the history comes to %s',
            coalesce(jsonb_array_length(s.lines), 0), coalesce(jsonb_array_length(rebuilt.lines), 0)) as found
        from present s full join rebuilt using (source, source_id) left join newest n using (source, source_id)
        where s.lines is distinct from rebuilt.lines and not (n.source_id is null and {RETIRED})"""


# History recorded before blank text became null has "" where the row now has null.
_NOT_BLANK = r"case when {value} ~ '\S' then {value} end"
_OWN_FIELDS = r"""(select jsonb_object_agg(key, value) from jsonb_each({value})
    where jsonb_typeof(value) not in ('string', 'null') or value #>> '{{}}' ~ '\S')"""


def _non_blank(value: str, field: Field) -> str:
    """SQL for a value of the history, null where it is blank."""
    if field.kind.sql == "text":
        return _NOT_BLANK.format(value=value)
    return _OWN_FIELDS.format(value=value) if field.kind is CUSTOM else value


def _typed(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{field.name} {field.kind.sql}" for field in fields)
