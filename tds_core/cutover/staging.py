"""Staging: copies an old table, converted, into a temporary table beside the mirror, as a stream of bounded memory."""

import os
import threading
from dataclasses import dataclass
from typing import Any

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.cutover import line_values
from tds_core.cutover.conversions import is_living, key_sql
from tds_core.cutover.mapping import MappingError
from tds_core.cutover.old_tables import OldTable
from tds_core.cutover.sql_names import quoted, run
from tds_models.db import set_statement_timeout

#: The temporary table of one entity's old rows: `source_id`, the mapped fields, and `copy_count`.
OLD_ROWS = "pg_temp.tds_old_rows"
_RAW = "pg_temp.tds_old_copies"
# Another database may spell its values in another encoding and another order of day and month.
_AS_WE_READ_IT = "set local statement_timeout = 0; set local client_encoding = 'UTF8'; set local datestyle = 'ISO'"


@dataclass(frozen=True, slots=True)
class StagedCounts:
    """How many records an old table has, how many rows repeat one, and how many name none."""

    old_count: int
    duplicate_count: int
    unkeyed_count: int


def copy_old_rows(session: Session, old: Engine, table: OldTable) -> StagedCounts:
    """Copy the living rows of an old table to `OLD_ROWS` of this session's connection; of copies the newest.

    Raises MappingError for a value that cannot be converted.
    """
    set_statement_timeout(session, 0)
    run(session, f"drop table if exists {OLD_ROWS}, {_RAW}")
    fields = [(each.mapped.field.name, each.mapped.field.kind.sql) for each in table.columns]
    if table.lines:
        fields.append((table.lines.mapped.name, line_values.KIND))
    declared = "".join(f", {quoted(name)} {kind}" for name, kind in fields)
    run(session, f"create temporary table {_RAW.removeprefix('pg_temp.')} (source_id text{declared})")
    _copy_across(old, session, select_old(table), table)
    newest = ", source_modified_at desc nulls last" if any(name == "source_modified_at" for name, _ in fields) else ""
    run(
        session,
        f"""create temporary table {OLD_ROWS.removeprefix("pg_temp.")} as
        select distinct on (source_id) *, count(*) over (partition by source_id) as copy_count
        from {_RAW} where source_id is not null order by source_id{newest}""",
    )
    unkeyed = run(session, f"select count(*) from {_RAW} where source_id is null").scalar_one()
    run(session, f"drop table {_RAW}")
    run(session, f"create unique index on {OLD_ROWS} (source_id)")
    run(session, f"analyze {OLD_ROWS}")
    counted = f"select count(*) as old_count, coalesce(sum(copy_count - 1), 0) as duplicate_count from {OLD_ROWS}"
    counts = run(session, counted).one()
    return StagedCounts(int(counts.old_count), int(counts.duplicate_count), int(unkeyed))


def select_old(table: OldTable) -> str:
    """The query of an old table's living rows: Zoho's id and the mapped fields, converted."""
    source_id = key_sql(f"o.{quoted(table.mapped.key)}", table.types[table.mapped.key].group)
    columns = [f"{source_id} as source_id"]
    columns += [f"{each.ours('o.' + quoted(each.mapped.column))} as {quoted(each.mapped.field.name)}"
                for each in table.columns]  # fmt: skip
    deleted = table.mapped.deleted
    living = (
        is_living(f"o.{quoted(deleted)}", table.types[deleted].group, table.mapped.deleted_is) if deleted else "true"
    )
    beside = ""
    if table.lines:
        columns.append(f"coalesce(l.value, {line_values.NONE}) as {quoted(table.lines.mapped.name)}")
        beside = f"left join ({line_values.old_lines(table.lines)}) l on l.parent_id = {source_id}"
    return f"select {', '.join(columns)} from {table.name} o {beside} where {living}"


def _copy_across(old: Engine, session: Session, select: str, table: OldTable) -> None:
    """Stream a query's rows from the old database into the raw table, through a pipe."""
    read_end, write_end = os.pipe()
    errors: list[Exception] = []
    with old.connect() as connection:
        source: Any = connection.connection.driver_connection
        source.timeout_seconds = None
        with source.cursor() as cursor:
            cursor.execute(_AS_WE_READ_IT)

        def send() -> None:
            try:
                with os.fdopen(write_end, "wb") as writer, source.cursor() as cursor:
                    cursor.copy_expert(f"copy ({select}) to stdout", writer)
            except (psycopg2.Error, BrokenPipeError) as error:  # a broken pipe: the reader has its own error
                errors.append(error)

        sender = threading.Thread(target=send, name="old-rows")
        sender.start()
        target: Any = session.connection().connection.driver_connection
        try:
            with os.fdopen(read_end, "rb") as reader, target.cursor() as cursor:
                cursor.copy_expert(f"copy {_RAW} from stdin (encoding 'UTF8')", reader)
        except psycopg2.DataError as error:
            errors.insert(0, error)
        finally:
            sender.join()
    if errors:
        said = str(errors[0]).strip().splitlines()[0]
        raise MappingError(f"{table.mapped.place}: {table.name} cannot be read as the mapping says: {said}.")
