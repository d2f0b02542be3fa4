"""The comparison: every record of the stand-in with its mirror row, field by field, by code the sync does not use."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from tds_lab.comparison.expected_columns import Expected, Parts
from tds_lab.comparison.expected_rows import EXPECTED
from tds_lab.zoho_stand_in import StandIn

EXAMPLES_SHOWN = 10

Row = Mapping[str, Any]
#: The rows of a record's parts in their order, by the parts' key.
Kept = Mapping[str, list[dict[str, Any]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement. `field` is empty when a whole record is missing, left over or not marked as deleted."""

    entity: str
    source_id: str
    what: str
    field: str = ""
    source: Any = None
    mirror: Any = None


@dataclasses.dataclass
class Comparison:
    """How many records and parts of records were looked at, and where the two sides disagree."""

    record_count: int = 0
    part_count: int = 0
    differences: list[Difference] = dataclasses.field(default_factory=list)

    def examples(self) -> list[dict[str, str]]:
        """The first few differences, fit for JSON."""
        return [
            {name: str(value) for name, value in dataclasses.asdict(each).items() if value not in ("", None)}
            for each in self.differences[:EXAMPLES_SHOWN]
        ]


def compare(connection: Connection, stand_in: StandIn) -> Comparison:
    """Compare all records of all entities with their parts, the deleted ones too."""
    comparison = Comparison()
    dumps = {plural: list(stand_in.dump(plural)) for plural in {each.plural for each in EXPECTED}}
    for expected in EXPECTED:
        records = {row[expected.id_key]: row for row in dumps[expected.plural] if expected.belongs(row)}
        gone = set(stand_in.deleted(expected.plural))
        _compare_entity(connection, expected, records, gone, comparison)
    return comparison


def _compare_entity(
    connection: Connection, expected: Expected, records: Mapping[str, Row], gone: set[str], comparison: Comparison
) -> None:
    mirror = {row["source_id"]: row for row in rows_of(connection, expected)}
    kept = parts_of(connection, expected)
    comparison.record_count += len(records) + sum(1 for key in mirror if key in gone)
    for source_id, record in records.items():
        row = mirror.get(source_id)
        comparison.part_count += sum(len(record.get(each.key, ())) for each in expected.parts)
        comparison.differences += differences(expected, record, row, kept.get(source_id, {}))
    for source_id, row in mirror.items():
        if source_id not in records and row["deleted_at"] is None:
            what = "deleted there, live here" if source_id in gone else "unknown there, live here"
            comparison.differences.append(Difference(expected.entity, source_id, what))


def differences(expected: Expected, record: Row, row: Row | None, kept: Kept) -> Iterator[Difference]:
    """Where one living record and its mirror row, or its parts and theirs, disagree."""
    entity, source_id = expected.entity, record[expected.id_key]
    if row is None:
        yield Difference(entity, source_id, "missing here")
        return
    if row["deleted_at"] is not None:
        yield Difference(entity, source_id, "live there, deleted here")
        return
    for column, value in expected.row(record).items():
        if row[column] != value:
            yield Difference(entity, source_id, "field", column, value, row[column])
    for parts in expected.parts:
        expected_rows, rows = parts.rows(record), kept.get(parts.key, [])
        if expected_rows != rows:
            yield Difference(entity, source_id, "parts", parts.key, expected_rows, rows)


def rows_of(connection: Connection, expected: Expected, ids: Sequence[str] | None = None) -> Sequence[Row]:
    """The mirror's rows of an entity, all of them or some."""
    query = f"select source_id, deleted_at, {', '.join(expected.columns)} from {expected.table}"
    if ids is None:
        return connection.execute(text(query)).mappings().all()
    return connection.execute(text(f"{query} where source_id = any(:ids)"), {"ids": list(ids)}).mappings().all()


def parts_of(connection: Connection, expected: Expected, ids: Sequence[str] | None = None) -> dict[str, Kept]:
    """The rows of records' parts, by the record's id."""
    by_parent: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for parts in expected.parts:
        for row in connection.execute(*_parts_query(parts, ids)).mappings():
            kept = by_parent.setdefault(row["parent_id"], {}).setdefault(parts.key, [])
            kept.append({name: row[name] for name in parts.columns})
    return dict(by_parent)


def _parts_query(parts: Parts, ids: Sequence[str] | None) -> tuple[Any, dict[str, Any]]:
    where = "" if ids is None else "where parent_id = any(:ids)"
    query = f"select parent_id, {', '.join(parts.columns)} from {parts.table} {where} order by parent_id, position"
    return text(query), {} if ids is None else {"ids": list(ids)}
