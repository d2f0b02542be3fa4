"""Promotion plan: every statement that puts the mirror under the old names, beside the one that takes it back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from tds_core.cutover.mapping import CutoverMapping, MappingError
from tds_core.cutover.old_tables import OldTable, read_old_tables
from tds_core.cutover.sql_names import quoted, run
from tds_core.cutover.view_definitions import own_columns, view_sql

SUFFIX = "_before_tds"
_LONGEST_NAME = 63
_INDEXED_KINDS = ("r", "p", "m")


@dataclass(frozen=True, slots=True)
class PromotionStep:
    """One statement, the one that undoes it (empty: what it made goes with another step), and what it is about."""

    subject: str
    do: str
    undo: str


@dataclass(frozen=True, slots=True)
class _Relation:
    """A table or view as it is: its kind in pg_class, who may read it, and a view's own query."""

    oid: int
    schema: str
    name: str
    kind: str
    has_row_security: bool
    readers: Sequence[str]
    definition: str

    @property
    def old_name(self) -> str:
        """What it is called afterwards."""
        cut = self.name.encode()[: _LONGEST_NAME - len(SUFFIX)].decode(errors="ignore")
        return f"{cut}{SUFFIX}"


def plan_promotion(
    session: Session, mapping: CutoverMapping, *, elsewhere: Connection | None = None
) -> list[PromotionStep]:
    """The steps of a promotion, in order. Reads only. Raises MappingError where a table or a name is in the way.

    `elsewhere`: the old tables' database, where that is another one.
    """
    tables = read_old_tables(elsewhere or session.connection(), mapping)
    _check_lines(mapping)
    names = [*(each.mapped.table for each in tables), *mapping.views]
    there = {name: found for name in names if (found := _relation(session, mapping.schema, name))}
    steps = [] if _has_schema(session, mapping.schema) else [_schema_step(mapping.schema)]
    depending = _depending(session, [each.oid for each in there.values()])
    for each in tables:
        found = there.get(each.mapped.table)
        if found and found.kind in _INDEXED_KINDS and not elsewhere and own_columns(each):
            steps += _index_steps(session, each)
    for relation in [*reversed(depending), *there.values()]:
        steps.append(_rename_step(session, relation))
    for each in tables:
        replaced = there.get(each.mapped.table)
        old_rows = quoted(replaced.schema, replaced.old_name) if replaced and not elsewhere else None
        steps += _view_steps(mapping.schema, each.mapped.table, view_sql(each, old_rows=old_rows), replaced)
    for name, select in mapping.views.items():
        steps += _view_steps(mapping.schema, name, select, there.get(name))
    for relation in depending:
        steps += _view_steps(relation.schema, relation.name, relation.definition, relation)
    return steps


def _check_lines(mapping: CutoverMapping) -> None:
    """Lines are not shown by a view of TDS's own making: a mapping says what stands under their table's name."""
    for lines in filter(None, (each.lines for each in mapping.entities.values())):
        if lines.table not in mapping.views:
            raise MappingError(
                f"{lines.place}.table: programs would go on reading {lines.table} as the old job left it. Say what they"
                f" read instead: [views.{lines.table}], a query over {lines.here}."
            )


_RELATIONS = """
select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind, c.relrowsecurity as has_row_security,
       coalesce((select array_agg(distinct case a.grantee when 0 then 'public' else quote_ident(r.rolname) end)
                 from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
                 left join pg_roles r on r.oid = a.grantee where a.privilege_type = 'SELECT'), '{}') as readers,
       case when c.relkind = 'v' then pg_get_viewdef(c.oid) else '' end as definition
from pg_class c join pg_namespace n on n.oid = c.relnamespace
"""
_RELATION = text(
    f"{_RELATIONS} where n.nspname = :schema and c.relname = :name and c.relkind in ('r', 'p', 'v', 'm', 'f')"
)
# Views that read the old tables would go on reading them under their new names.
_DEPENDING = text(f"""
with recursive depending as (
    select r.ev_class as oid, 1 as depth from pg_depend d join pg_rewrite r on r.oid = d.objid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
      and d.refobjid = any(cast(:oids as oid[])) and r.ev_class <> d.refobjid
    union
    select r.ev_class, b.depth + 1 from depending b join pg_depend d on d.refobjid = b.oid
    join pg_rewrite r on r.oid = d.objid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and r.ev_class <> b.oid
)
select f.*, g.depth from ({_RELATIONS}) f join (select oid, max(depth) as depth from depending group by oid) g
    on g.oid = f.oid
where not f.oid = any(cast(:oids as oid[])) order by g.depth, f.schema, f.name
""")
_HAS_SCHEMA = text("select exists (select from pg_namespace where nspname = :schema)")
_LEADS_AN_INDEX = text("""
select exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
               where i.indrelid = to_regclass(:table) and i.indpred is null and i.indisvalid and a.attname = :key)
""")


def _relation(session: Session, schema: str, name: str) -> _Relation | None:
    path = _with_empty_path(session)
    row = session.execute(_RELATION, {"schema": schema, "name": name}).mappings().one_or_none()
    _restore_path(session, path)
    return None if row is None else _as_relation(row)


def _depending(session: Session, oids: Sequence[int]) -> list[_Relation]:
    """The views that read one of these relations, those that read another view behind it."""
    path = _with_empty_path(session)
    rows = session.execute(_DEPENDING, {"oids": list(oids)}).mappings().all()
    _restore_path(session, path)
    found = [_as_relation(row) for row in rows]
    for each in found:
        if each.kind != "v":
            raise MappingError(f"{each.schema}.{each.name} is a materialized view that reads the old tables, and would"
                               " go on doing so. Drop it, or make it a view, and promote then.")  # fmt: skip
    return found


def _as_relation(row: Mapping[Any, Any]) -> _Relation:
    names = ("oid", "schema", "name", "kind", "has_row_security", "readers", "definition")
    values = {name: row[name] for name in names}
    return _Relation(**{**values, "definition": str(values["definition"]).strip().rstrip(";")})


def _with_empty_path(session: Session) -> str:
    """Leave the search path empty, so that definitions name every schema. Returns the path as it was."""
    path = str(run(session, "select current_setting('search_path')").scalar_one())
    run(session, "select set_config('search_path', '', true)")
    return path


def _restore_path(session: Session, path: str) -> None:
    session.execute(text("select set_config('search_path', :path, true)"), {"path": path})


def _has_schema(session: Session, schema: str) -> bool:
    return bool(session.execute(_HAS_SCHEMA, {"schema": schema}).scalar_one())


def _schema_step(schema: str) -> PromotionStep:
    return PromotionStep(schema, f"create schema {quoted(schema)}", f"drop schema {quoted(schema)}")


def _rename_step(session: Session, relation: _Relation) -> PromotionStep:
    if relation.has_row_security:
        raise MappingError(f"{relation.schema}.{relation.name} has row-level security, which a view over the mirror"
                           " does not keep: its readers would see every row. Disable it if they may, and promote"
                           " then.")  # fmt: skip
    if _relation(session, relation.schema, relation.old_name):
        raise MappingError(f"{relation.schema}.{relation.old_name} exists already, and {relation.name} would be called"
                           " so. Rename or drop it, and promote then.")  # fmt: skip
    was, becomes = quoted(relation.schema, relation.name), quoted(relation.schema, relation.old_name)
    return PromotionStep(
        f"{relation.schema}.{relation.name}",
        f"alter table {was} rename to {quoted(relation.old_name)}",
        f"alter table {becomes} rename to {quoted(relation.name)}",
    )


def _index_steps(session: Session, table: OldTable) -> Iterator[PromotionStep]:
    """An index by which the view finds a record's old row, where none leads with the key."""
    if session.execute(_LEADS_AN_INDEX, {"table": table.name, "key": table.mapped.key}).scalar_one():
        return
    name = f"ix_tds_{table.mapped.entity.name}_own_columns"
    yield PromotionStep(
        f"{table.mapped.schema}.{table.mapped.table}",
        f"create index {quoted(name)} on {table.name} ({quoted(table.mapped.key)})",
        f"drop index {quoted(table.mapped.schema, name)}",
    )


def _view_steps(schema: str, name: str, select: str, replaced: _Relation | None) -> Iterator[PromotionStep]:
    """A view, readable by whom the relation was that it replaces."""
    view = quoted(schema, name)
    yield PromotionStep(f"{schema}.{name}", f"create view {view} as {select}", f"drop view {view}")
    for reader in replaced.readers if replaced else ():
        yield PromotionStep(f"{schema}.{name}", f"grant select on {view} to {reader}", "")
