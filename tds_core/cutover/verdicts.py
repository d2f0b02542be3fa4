"""Verdicts: who is right about a record, the old table or the mirror, by a reading of the record at its source."""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.cutover import line_values
from tds_core.cutover.differences import here_sql, within
from tds_core.cutover.mapping import MappingError
from tds_core.cutover.old_tables import OldTable
from tds_core.cutover.sql_names import literal, quoted, run
from tds_core.cutover.staging import OLD_ROWS
from tds_core.database_errors import refuses
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.queue.items import database_clock
from tds_core.records.transform import Candidate, Provenance, RecordView, transform
from tds_core.sources import rate_limit_pause
from tds_core.sources.base import FetchResult, Source, Traffic
from tds_core.sync import partial_rows
from tds_models.entities.declaration import Entity

Scope = Callable[[], AbstractContextManager[Session]]

#: Records that are read together.
CHUNK = 100
# What else an old table has for an id is none: the source would refuse the question, and the row stay undecided.
_CAN_BE_ASKED = re.compile(r"[0-9]+")
_LIMIT = "limited_"

# What was never read comes first, then what speaks against TDS, then the oldest verdicts; the digest mixes the ids.
_NEXT = text("""
select source_id from tds_cutover_differences where entity = :entity and day_id = :day_id
order by case verdict when 'not_asked' then 0 when 'tds_wrong' then 1 when 'both_wrong' then 1 else 2 end,
         judged_at nulls first, digest
limit :deep
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementLimits:
    """Of which comparison, how many records are read at most, and how old a change is that counts."""

    day_id: int
    deep: int
    settle_seconds: int


def judge_differences(scope: Scope, table: OldTable, source: Source, limits: JudgementLimits) -> None:
    """Read up to `limits.deep` records that differ from the source, outside of transactions, and store who is right.

    What cannot be read stays undecided; nothing more is read while the source limits calls or refuses them all.
    """
    entity = table.mapped.entity
    with scope() as session:
        params = {"entity": entity.name, "day_id": limits.day_id, "deep": limits.deep}
        source_ids = list(session.execute(_NEXT, params).scalars())
    for first in range(0, len(source_ids), CHUNK):
        chunk = source_ids[first : first + CHUNK]
        with scope() as session:
            if rate_limit_pause.pause_left(session, entity.stream.source):
                return
            read_at = database_clock(session)
            shown = partial_rows.shown_in_details(session, entity)
        asked = [each for each in chunk if _CAN_BE_ASKED.fullmatch(each)]
        reading = source.read(entity.stream, asked, traffic=Traffic.COMPARISON)
        reading.missing.update(set(chunk) - set(asked))
        rows = _rows_of(entity, table, chunk, reading, read_at=read_at, shown=shown)
        if not rows:
            return
        _store(scope, table, limits, rows)


def _store(scope: Scope, table: OldTable, limits: JudgementLimits, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        with scope() as session:
            run(session, _judge(table, limits, rows))
    except DBAPIError as error:
        if not refuses(error):
            raise
        said = str(error.orig).strip().splitlines()[0]
        raise MappingError(f"{table.mapped.place}: a value of the source does not fit an old column: {said}. Give the"
                           " column a wider type there, or leave the line out.") from None  # fmt: skip


def _rows_of(
    entity: Entity, table: OldTable, chunk: Sequence[str], reading: FetchResult, *, read_at: datetime, shown: Set[str]
) -> list[dict[str, Any]]:
    """What the source says of each record it said anything of."""
    rows = []
    for source_id in chunk:
        if source_id in reading.missing:
            rows.append({"source_id": source_id, "is_there": False, "shown": []})
        elif source_id in reading.records:
            try:
                candidate = transform(
                    entity, reading.records[source_id], view=RecordView.DETAIL, provenance=Provenance("comparison"),
                    read_at=read_at, shown=shown, clock=reading.clocks.get(source_id),
                )  # fmt: skip
            except OtherKindError:
                rows.append({"source_id": source_id, "is_there": False, "shown": []})
            except InvalidRecordError:
                continue
            else:
                rows.append(_row_of(table, source_id, candidate))
    return rows


def _row_of(table: OldTable, source_id: str, candidate: Candidate) -> dict[str, Any]:
    values: Mapping[str, Any] = {**candidate.values, **candidate.lines}
    names = [name for name in table.compared_names if name in values]
    return {
        "source_id": source_id,
        "is_there": True,
        "modified_at": candidate.modified_at,
        "shown": names,
        **{name: values[name] for name in names},
        **{f"{_LIMIT}{name}": values.get(name) for name in table.mapped.only},
    }


def _judge(table: OldTable, limits: JudgementLimits, rows: Sequence[Mapping[str, Any]]) -> str:
    """The statement that stores a verdict for each of `rows`."""
    names, fields = table.compared_names, [each.mapped.field for each in table.compared]
    declared = "".join(f", {quoted(each.name)} {each.kind.sql}" for each in fields)
    declared += "".join(f", {quoted(_LIMIT + name)} text" for name in table.mapped.only)
    trips = [
        f"{each.round_trip('t.' + quoted(each.mapped.field.name))} as {quoted(each.mapped.field.name)}"
        for each in table.compared
    ]
    if table.lines:
        name = quoted(table.lines.mapped.name)
        declared += f", {name} {line_values.KIND}"
        trips.append(f"{line_values.read_lines(table.lines, f't.{name}')} as {name}")
    ids = ", ".join(literal(str(row["source_id"])) for row in rows)
    entity = table.mapped.entity
    spelled = literal(msgspec.json.encode(rows).decode())
    return f"""
    with there as (
        select t.source_id, t.is_there and {within(table, "t", _LIMIT)} as is_there, t.modified_at, t.shown,
               {", ".join(trips)}
        from jsonb_to_recordset({spelled}::jsonb)
            as t (source_id text, is_there boolean, modified_at timestamptz, shown text[]{declared})
    ), here as ({here_sql(table, f"m.source_id in ({ids})")}), judged as (
        select t.source_id, {_is_right("o", names)} as is_old_right, {_is_right("h", names)} as is_here_right,
               {_differ("o", "h", names)} as still_differs,
               coalesce(t.modified_at > c.started_at - interval '{limits.settle_seconds} seconds', false)
                   or coalesce(m.changed_at > c.started_at, false) as is_recent
        from there t join tds_cutover_days c on c.id = {limits.day_id}
        left join {OLD_ROWS} o on o.source_id = t.source_id left join here h on h.source_id = t.source_id
        left join {entity.table.fullname} m
            on m.source = {literal(entity.stream.source)} and m.source_id = t.source_id
    )
    update tds_cutover_differences d set judged_at = clock_timestamp(), verdict = case
        when j.is_old_right and j.is_here_right and j.still_differs then 'not_asked'  -- in what the source did not show
        when j.is_old_right and j.is_here_right or j.is_recent then 'changed_meanwhile'
        when j.is_here_right then 'old_wrong' when j.is_old_right then 'tds_wrong' else 'both_wrong' end
    from judged j
    where d.entity = {literal(entity.name)} and d.source_id = j.source_id and d.day_id = {limits.day_id}"""


def _is_right(side: str, names: Sequence[str]) -> str:
    """Whether one side has what the source showed, and nothing where it has no such record."""
    wrong = " or ".join(
        f"{literal(name)} = any(t.shown) and {side}.{quoted(name)} is distinct from t.{quoted(name)}" for name in names
    )
    return f"""case when not t.is_there then {side}.source_id is null
        else {side}.source_id is not null and not ({wrong}) end"""


def _differ(one: str, other: str, names: Sequence[str]) -> str:
    pairs = " or ".join(f"{one}.{quoted(name)} is distinct from {other}.{quoted(name)}" for name in names)
    return f"({one}.source_id is distinct from {other}.source_id or {pairs})"
