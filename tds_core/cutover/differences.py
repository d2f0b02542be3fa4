"""Differences: the staged old rows against the mirror, page by page in the order of ids, and what differs stored."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.cutover.line_values import our_lines
from tds_core.cutover.mapping import MappingError
from tds_core.cutover.old_tables import OldTable
from tds_core.cutover.sql_names import literal, quoted, run
from tds_core.cutover.staging import OLD_ROWS
from tds_core.database_errors import refuses
from tds_models.db import set_statement_timeout

PAGE_SIZE = 20_000


@dataclass(slots=True)
class DifferenceCounts:
    """How many living rows the mirror has, and how many records differ in which way."""

    here_count: int = 0
    equal_count: int = 0
    different_count: int = 0
    missing_old_count: int = 0
    missing_here_count: int = 0


def compare_page(session: Session, table: OldTable, day_id: int, after: str, counts: DifferenceCounts) -> str | None:
    """Compare the records whose ids follow `after`, and add to `counts`. Returns the last id; None at the end."""
    set_statement_timeout(session, 0)
    last = run(session, _bound(table, after)).scalar()
    try:
        with session.begin_nested():
            found = run(session, _page(table, day_id, after, last)).one()
    except DBAPIError as error:
        if not refuses(error):
            raise
        raise MappingError(_misfit(session, table, error)) from None
    counts.here_count += found.here_count
    counts.equal_count += found.equal_count
    counts.different_count += found.different_count
    counts.missing_old_count += found.missing_old_count
    counts.missing_here_count += found.missing_here_count
    return None if last is None else str(last)


def _misfit(session: Session, table: OldTable, error: DBAPIError) -> str:
    """Which old column cannot hold a value of the mirror: the first that cannot hold all of them."""
    place, column = table.mapped.place, "an old column"
    candidates = [(place, table.mapped.entity.table.fullname, each) for each in table.compared]
    if table.lines:
        candidates += [(table.lines.mapped.place, table.lines.mapped.here, each) for each in table.lines.columns]
    for where, here, each in candidates:
        values = f"select count({each.round_trip('m.' + quoted(each.mapped.field.name))})"
        try:
            with session.begin_nested():
                run(session, f"{values} from {here} m")
        except DBAPIError:
            place = f"{where}.columns.{each.mapped.field.name}"
            column = f"the old column {each.mapped.column} ({each.type.sql})"
            break
    return (
        f"{place}: a value of the mirror does not fit {column}: {str(error.orig).strip().splitlines()[0]}. The view"
        " could not show it either: give the column a wider type there, or leave the line out."
    )


def _bound(table: OldTable, after: str) -> str:
    """The last id of a page: neither side has more than a page of records up to there. Null: the rest is one page."""
    mirror = table.mapped.entity.table.fullname
    source = literal(table.mapped.entity.stream.source)
    following = f"source_id > {literal(after)} order by source_id offset {PAGE_SIZE - 1} limit 1"
    return f"""select least((select source_id from {OLD_ROWS} where {following}),
        (select source_id from {mirror} where source = {source} and {following}))"""


def here_sql(table: OldTable, condition: str) -> str:
    """The mirror's living rows as the old table would hold them: `source_id` and the compared fields."""
    fields = [
        f"{each.round_trip('m.' + quoted(each.mapped.field.name))} as {quoted(each.mapped.field.name)}"
        for each in table.compared
    ]
    if table.lines:
        fields.append(f"{our_lines(table.lines, 'm')} as {quoted(table.lines.mapped.name)}")
    return f"""select m.source_id, {", ".join(fields)} from {table.mapped.entity.table.fullname} m
        where m.source = {literal(table.mapped.entity.stream.source)} and m.deleted_at is null
          and {within(table, "m")} and {condition}"""


def within(table: OldTable, alias: str, prefix: str = "") -> str:
    """The condition that a row is one of those the old table is limited to."""
    limits = [
        f"coalesce({alias}.{quoted(prefix + name)}, '') in ({', '.join(literal(each) for each in values)})"
        for name, values in table.mapped.only.items()
    ]
    return " and ".join(limits) or "true"


def _span(alias: str, after: str, last: str | None) -> str:
    upper = "" if last is None else f" and {alias}.source_id <= {literal(last)}"
    return f"{alias}.source_id > {literal(after)}{upper}"


def _page(table: OldTable, day_id: int, after: str, last: str | None) -> str:
    names = table.compared_names
    differing = ", ".join(
        f"case when o.{quoted(name)} is distinct from h.{quoted(name)} then {literal(name)} end" for name in names
    )
    both = ", ".join(f"o.{quoted(name)}, h.{quoted(name)}" for name in names)
    return f"""
    with here as ({here_sql(table, _span("m", after, last))}),
    pair as (
        select coalesce(o.source_id, h.source_id) as source_id,
               case when h.source_id is null then 'missing_here' when o.source_id is null then 'missing_old'
                    else 'different' end as kind,
               case when o.source_id is null or h.source_id is null then '{{}}'::text[]
                    else array_remove(array[{differing}], null) end as fields,
               decode(md5(row(o.source_id, h.source_id, {both})::text), 'hex') as digest,
               h.source_id is not null as is_here
        from (select * from {OLD_ROWS} r where {_span("r", after, last)}) o
            full join here h on h.source_id = o.source_id
    ), stored as (
        insert into tds_cutover_differences as d (entity, source_id, day_id, kind, fields, digest)
        select {literal(table.mapped.entity.name)}, source_id, {day_id}, kind, fields, digest from pair
        where kind <> 'different' or fields <> '{{}}'
        on conflict (entity, source_id) do update set
            day_id = excluded.day_id, kind = excluded.kind, fields = excluded.fields, digest = excluded.digest,
            verdict = case when d.digest = excluded.digest and d.verdict <> 'changed_meanwhile' then d.verdict
                           else 'not_asked' end,
            judged_at = case when d.digest = excluded.digest then d.judged_at end
    )
    select count(*) filter (where is_here) as here_count,
           count(*) filter (where kind = 'different' and fields = '{{}}') as equal_count,
           count(*) filter (where kind = 'different' and fields <> '{{}}') as different_count,
           count(*) filter (where kind = 'missing_old') as missing_old_count,
           count(*) filter (where kind = 'missing_here') as missing_here_count
    from pair"""


_CLEAR = text("delete from tds_cutover_differences where entity = :entity and day_id <> :day_id")


def clear_settled(session: Session, entity: str, day_id: int) -> None:
    """Remove what differed before and does so no longer."""
    session.execute(_CLEAR, {"entity": entity, "day_id": day_id})
