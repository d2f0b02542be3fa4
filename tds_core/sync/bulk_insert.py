"""Bulk insert: the new records of a list page, parsed column by column and written with one COPY.

A value that many records share is parsed, checked and serialised once. Preparing needs no lock and runs while the page
before is being written.
"""

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import repeat
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidRecordError
from tds_core.quality import unreadable_values
from tds_core.quality.future_timestamps import Clock
from tds_core.quality.unstorable_values import Flaw
from tds_core.records import history as records_history
from tds_core.records.source_record import Record, read_record
from tds_core.records.sql import NULL, Copy, as_exact_json, as_it_came, as_json, as_text, lay_out, try_copy
from tds_core.records.transform import (
    ABSENT,
    Candidate,
    KnownKeys,
    Provenance,
    RecordView,
    is_strange,
    missing_values,
    read_value,
    transform,
)
from tds_core.sync.partial_rows import backfill_rank
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import LARGEST_EXPONENT, LONGEST_ID, is_nothing, read_number, read_rate
from tds_models.entities.fields import Field, at, refers

Records = Sequence[Mapping[str, Any]]
#: Kinds of JSON value of which equal ones are the same; `object` is a key that is not there. 1.0 and 1.00 are two.
_SAME_IF_EQUAL = frozenset({str, int, bool, type(None), object})


@dataclass(frozen=True, slots=True)
class Column:
    """One field of many records: each record's value, how COPY has it, and its part in the record's history.

    `history_entries`: as COPY has them, empty where there is no value. `flaws`: by the record's place.
    """

    values: Sequence[Any]
    texts: Sequence[str]
    history_entries: Sequence[str]
    flaws: Mapping[int, Flaw]


def read_column(field: Field, records: Records) -> Column:
    """`field` of `records`, of which there are some."""
    raws = [record.get(field.key, ABSENT) for record in records]
    plain = _PLAIN.get(frozenset(map(type, raws)))
    return (plain and plain(field, raws)) or _parsed_column(field, raws)


def _text_column(field: Field, raws: list[str]) -> Column | None:
    """A column of texts that stand as they are in COPY and in JSON; `None` where one does not, or has to be parsed."""
    if not field.kind.is_text:
        return None
    joined = "".join(raws)
    if '"' in joined or "\\" in joined or not joined.isprintable():
        return None
    if any(map(str.isspace, raws)) or max(map(len, raws)) > LONGEST_ID:
        return None
    opening = f'"{field.name}":[null,"'
    if "" not in raws:
        return Column(raws, raws, [f'{opening}{raw}"]' for raw in raws], {})
    entries = [f'{opening}{raw}"]' if raw else "" for raw in raws]
    return Column([raw or None for raw in raws], [raw or NULL for raw in raws], entries, {})


def _number_column(field: Field, raws: list[Decimal]) -> Column | None:
    """A column of exact numbers that break no rule; `None` where one does, or is no number here."""
    if field.kind.read not in (read_number, read_rate) or (field.least is not None and min(raws) < field.least):
        return None
    sizes = list(map(Decimal.adjusted, raws))
    if max(sizes) > LARGEST_EXPONENT or min(sizes) < -LARGEST_EXPONENT:
        return None
    texts = list(map(str, raws))
    opening = f'"{field.name}":[null,"'
    return Column(raws, texts, [f'{opening}{text}"]' for text in texts], {})


#: Columns whose values all have the same type, and mostly nothing to be parsed or checked one by one.
_PLAIN: Mapping[frozenset[type], Callable[[Field, list[Any]], Column | None]] = {
    frozenset([str]): _text_column,
    frozenset([Decimal]): _number_column,
}


def _parsed_column(field: Field, raws: list[Any]) -> Column:
    """A column of any values; equal ones are parsed and spelled once."""
    keys = _keys(raws)
    first = dict(zip(keys, raws, strict=True))
    places = dict(zip(first, range(len(first)), strict=True))
    order = [places[key] for key in keys]
    read = [_read(field, raw) for raw in first.values()]
    spelled = [_spell(field, value) for value, _ in read]
    has_flaws = any(flaw for _, flaw in read)
    return Column(
        values=[read[place][0] for place in order],
        texts=[spelled[place][0] for place in order],
        history_entries=[spelled[place][1] for place in order],
        flaws={n: flaw for n, place in enumerate(order) if (flaw := read[place][1])} if has_flaws else {},
    )


def _read(field: Field, raw: Any) -> tuple[Any, Flaw | None]:
    if raw is ABSENT or raw is None or raw == "":
        return None, None
    if field.kind.is_text and type(raw) is str and len(raw) <= LONGEST_ID and not raw.isspace():
        return raw, None
    return read_value(field, raw)


def _keys(raws: list[Any]) -> Sequence[Hashable]:
    """What stands for each value: equal keys only where the stored values are the same."""
    kinds = set(map(type, raws))
    if len(kinds) == 1:
        return raws if kinds <= _SAME_IF_EQUAL else list(map(str, raws))
    return list(zip(map(type, raws), map(str, raws), strict=True))


def _spell(field: Field, value: Any) -> tuple[str, str]:
    """The value as COPY has it, and its part of the history."""
    if value is None:
        return NULL, ""
    if field.kind.sql == "jsonb":
        told = as_exact_json(value)
        return told, f'"{field.name}":[null,{told}]'
    if type(value) is Decimal:
        return (told := str(value)), f'"{field.name}":[null,"{told}"]'
    return as_text(value), f'"{field.name}":[null,{as_json(value)}]'


@dataclass(frozen=True, slots=True)
class PageReader:
    """Parses the records of one list page of `entity`: when and for which run it was read, and its rows' fingerprints.

    `read_at`: the database's clock before the page was requested; `clock`: the source's when it responded.
    `known_keys`: keys already recorded by drift detection.
    """

    entity: Entity
    read_at: datetime
    provenance: Provenance
    hashes: Mapping[str, bytes]
    known_keys: KnownKeys
    clock: Clock | None = None

    def candidate(self, source_id: str, raw: bytes, known_keys: KnownKeys | None = None) -> Candidate:
        """Parse one record; `known_keys` replaces the page's. Raises `InvalidRecordError`."""
        return transform(
            self.entity,
            raw,
            view=RecordView.LIST,
            read_at=self.read_at,
            list_hash=self.hashes[source_id],
            provenance=self.provenance,
            known_keys=self.known_keys if known_keys is None else known_keys,
            clock=self.clock,
        )


# From this many new rows on, COPY is cheaper than an INSERT.
MIN_COPY_ROWS = 20


@dataclass(frozen=True)
class Creation:
    """New records of one entity, ready to be inserted: their ids, rows and history.

    `ranks`: back-fill rank by source id, where details are to be read. `drift_records`: the records to check for schema
    drift. `flaws`: by source id, of those that have any. `read`: parses all of them one by one.
    """

    entity: Entity
    source_ids: Sequence[str]
    rows: Copy
    history: Copy
    ranks: Mapping[str, int]
    drift_records: Records
    flaws: Mapping[str, Sequence[Flaw]]
    read: Callable[[], list[Candidate]]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The records parsed one by one, for when the COPY fails."""
        return self.read()


def prepare_creation(reader: PageReader, raws: Mapping[str, bytes]) -> Creation | None:
    """Prepare `raws`, the JSON by source id of records that the mirror does not have.

    None when there are fewer than MIN_COPY_ROWS, one of them is invalid or dated in the future, or they have lines,
    which `apply` writes.
    """
    if len(raws) < MIN_COPY_ROWS:
        return None
    entity = reader.entity
    try:
        read = [read_record(raw, entity) for raw in raws.values()]
        records = [each.members for each in read]
        _refuse_unfit(entity, records)
        ids = _sound_column(refers("source_id", to=None, key=entity.stream.id_key), records)
        moments = _sound_column(at("source_modified_at", entity.stream.modified_key or "no time of change"), records)
    except (ValueError, InvalidRecordError):
        return None
    if reader.clock and any(each and reader.clock.is_behind(each) for each in moments.values):
        return None
    columns = {field.name: read_column(field, records) for field in entity.fields}
    flaws = _flaws(entity, read, ids, columns)
    return Creation(
        entity=entity,
        source_ids=list(raws),
        rows=_rows(reader, read, ids, moments, columns),
        history=records_history.spell_creations(
            entity,
            ids.texts,
            moments.texts,
            zip(*(column.history_entries for column in columns.values()), strict=True),
            reader.provenance,
        ),
        ranks=_ranks(reader, ids, moments, columns),
        drift_records=_drift_records(reader, ids, records, flaws),
        flaws=flaws,
        read=lambda: [reader.candidate(source_id, raw) for source_id, raw in raws.items()],
    )


def joined(creations: Sequence[Creation]) -> Creation:
    """Creations of several pages as one, of records that differ."""
    first = creations[0]
    return replace(
        first,
        source_ids=[source_id for each in creations for source_id in each.source_ids],
        rows=replace(first.rows, lines=b"".join(each.rows.lines for each in creations)),
        history=replace(first.history, lines=b"".join(each.history.lines for each in creations)),
        ranks={source_id: rank for each in creations for source_id, rank in each.ranks.items()},
        drift_records=[record for each in creations for record in each.drift_records],
        flaws={source_id: flaws for each in creations for source_id, flaws in each.flaws.items()},
        read=lambda: [candidate for each in creations for candidate in each.candidates],
    )


def create(session: Session, creation: Creation) -> bool:
    """Insert all rows, or none (False): when another transaction has created one of them, or one has a history."""
    if _any_history(session, creation) or not try_copy(session, creation.rows, creation.history):
        return False
    unreadable_values.report(session, creation.entity, creation.flaws)
    return True


ANY_HISTORY = text("""
select exists (select from tds_audit_trail where entity = :entity and source = :source and source_id = any(:ids))
""")


def _any_history(session: Session, creation: Creation) -> bool:
    entity = creation.entity
    params = {"entity": entity.name, "source": entity.stream.source, "ids": list(creation.source_ids)}
    return bool(session.execute(ANY_HISTORY, params).scalar())


def _sound_column(field: Field, records: Records) -> Column:
    """A column without flaws. Raises `ValueError`."""
    column = read_column(field, records)
    if column.flaws:
        raise ValueError(next(iter(column.flaws.values())).reason)
    return column


def _refuse_unfit(entity: Entity, records: Records) -> None:
    """Raise `ValueError` for records that are another entity's, have no id, or have lines."""
    stream = entity.stream
    if any(is_nothing(record.get(stream.id_key)) for record in records):
        raise ValueError("a record without an id")
    if stream.kind and any(record.get(stream.kind[0]) not in (None, stream.kind[1]) for record in records):
        raise ValueError("a record of another kind")
    if any(lines.key in record for lines in entity.lines for record in records):
        raise ValueError("a record with lines")


def _flaws(entity: Entity, read: Sequence[Record], ids: Column, columns: Mapping[str, Column]) -> dict[str, list[Flaw]]:
    """The flaws of the records by source id, of those that have any."""
    found: dict[str, list[Flaw]] = {}
    for source_id, record in zip(ids.values, read, strict=True):
        if record.flaws:
            found[source_id] = [*record.flaws]
    for column in columns.values():
        for place, flaw in column.flaws.items():
            found.setdefault(ids.values[place], []).append(flaw)
    for field in entity.required:
        _add_missing(field, found, _without_value(field, read, ids, columns[field.name]))
    return found


def _add_missing(field: Field, found: dict[str, list[Flaw]], source_ids: Sequence[str]) -> None:
    """Add that these records show the required `field` without a value."""
    for source_id in source_ids:
        flaws = found.get(source_id, [])
        if missing := missing_values([field], {field.name: None}, flaws):
            found[source_id] = flaws + missing


def _without_value(field: Field, read: Sequence[Record], ids: Column, column: Column) -> list[str]:
    """The records that show `field` without a value."""
    if None not in column.values:
        return []
    shown = zip(ids.values, read, column.values, strict=True)
    return [source_id for source_id, record, value in shown if value is None and field.key in record.members]


def _drift_records(reader: PageReader, ids: Column, records: Records, flawed: Container[str]) -> Records:
    """The first record, and those with flaws or with unknown keys."""
    later = list(zip(ids.values, records, strict=True))[1:]
    strange = (each for key, each in later if key in flawed or is_strange(reader.entity, each, reader.known_keys))
    return [records[0], *strange]


def _rows(
    reader: PageReader, read: Sequence[Record], ids: Column, moments: Column, columns: Mapping[str, Column]
) -> Copy:
    """The new rows: each is a first version, and confirmed."""
    entity = reader.entity
    spelled = {
        "source": repeat(entity.stream.source),
        "source_id": ids.texts,
        **{name: column.texts for name, column in columns.items()},
        "source_modified_at": moments.texts,
        "source_record": [as_it_came(each.raw) for each in read],
        "source_record_at": moments.texts,
        "source_record_seen": repeat(RecordView.LIST.value),
        "list_hash": [as_text(rf"\x{reader.hashes[source_id].hex()}") for source_id in ids.values],
        "version": repeat("1"),
        "confirmed_at": repeat(as_text(reader.read_at)),
    }
    return lay_out(entity.table.fullname, list(spelled), zip(*spelled.values(), strict=False))  # some never end


def _ranks(reader: PageReader, ids: Column, moments: Column, columns: Mapping[str, Column]) -> dict[str, int]:
    entity = reader.entity
    if not entity.header_first:
        return {}
    statuses = columns["status"].values if "status" in columns else repeat(None)
    rows = zip(ids.values, statuses, moments.values, strict=False)
    return {
        source_id: backfill_rank(entity, status=status, modified_at=modified_at, read_at=reader.read_at)
        for source_id, status, modified_at in rows
    }
