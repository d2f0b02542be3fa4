"""Creation: records the mirror has never seen, read and spelled out while the page before them is being written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

from sqlalchemy.orm import Session

from tds_core.sources.errors import InvalidRecordError
from tds_core.sync import audit
from tds_core.sync.candidate import Candidate, is_strange, read_record
from tds_core.sync.columns import Column, Records, read_column
from tds_core.sync.copying import Copy, as_it_came, as_text, lay_out, try_copy
from tds_core.sync.sighting import Sighting
from tds_core.sync.usefulness import rank
from tds_models.entity import Entity
from tds_models.fields import at, refers

# From so many new rows on, COPY is cheaper than an INSERT.
AT_LEAST = 20


@dataclass(frozen=True)
class Creation:
    """New records of one entity: their ids, their rows and their history, ready to be sent.

    `ranks`: how far behind what changed the details of each may wait, where there are details to be read. `said`: the
    records that are to be looked at once more. `read`: reads all of them one by one.
    """

    source_ids: Sequence[str]
    rows: Copy
    history: Copy
    ranks: Mapping[str, int]
    said: Records
    read: Callable[[], list[Candidate]]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The records one by one, for those who cannot take them as they are spelled."""
        return self.read()


def prepare_creation(sighting: Sighting, raws: Mapping[str, bytes]) -> Creation | None:
    """Make `raws` ready: by source id the JSON of records that the mirror does not have.

    `None`: they are too few to be worth it, one of them breaks the rules, or they have lines, which `apply` writes.
    """
    if len(raws) < AT_LEAST:
        return None
    entity = sighting.entity
    try:
        records = [read_record(raw) for raw in raws.values()]
        _refuse_unfit(entity, records)
        ids = read_column(refers("source_id", to=None, key=entity.stream.id_key, required=True), records)
        moments = read_column(at("source_modified_at", entity.stream.modified_key or "no time of change"), records)
        columns = {field.name: read_column(field, records) for field in entity.fields}
    except (ValueError, InvalidRecordError):
        return None
    return Creation(
        source_ids=list(raws),
        rows=_rows(sighting, raws, ids, moments, columns),
        history=audit.spell_creations(
            entity,
            ids.texts,
            moments.texts,
            zip(*(column.told for column in columns.values()), strict=True),
            sighting.provenance,
        ),
        ranks=_ranks(sighting, ids, moments, columns),
        said=[records[0], *(each for each in records[1:] if is_strange(entity, each, sighting.familiar))],
        read=lambda: [sighting.candidate(source_id, raw) for source_id, raw in raws.items()],
    )


def create(session: Session, creation: Creation) -> bool:
    """Write all of it, or, when somebody created one of the records in the meantime, nothing (False)."""
    return try_copy(session, creation.rows, creation.history)


def _refuse_unfit(entity: Entity, records: Records) -> None:
    """Raise `ValueError` for records that are another entity's, have no id, or have lines."""
    stream = entity.stream
    if not all(stream.id_key in record for record in records):
        raise ValueError("a record without an id")
    if stream.kind and any(record.get(stream.kind[0]) not in (None, stream.kind[1]) for record in records):
        raise ValueError("a record of another kind")
    if any(lines.key in record for lines in entity.lines for record in records):
        raise ValueError("a record with lines")


def _rows(
    sighting: Sighting, raws: Mapping[str, bytes], ids: Column, moments: Column, columns: Mapping[str, Column]
) -> Copy:
    """The new rows. Whatever is read now is its first version, and confirmed."""
    entity = sighting.entity
    spelled = {
        "source": repeat(entity.stream.source),
        "source_id": ids.texts,
        **{name: column.texts for name, column in columns.items()},
        "source_modified_at": moments.texts,
        "source_record": [as_it_came(raw) for raw in raws.values()],
        "list_hash": [as_text(rf"\x{sighting.hashes[source_id].hex()}") for source_id in raws],
        "version": repeat("1"),
        "confirmed_at": repeat(as_text(sighting.read_at)),
    }
    return lay_out(entity.table.fullname, list(spelled), zip(*spelled.values(), strict=False))  # some never end


def _ranks(sighting: Sighting, ids: Column, moments: Column, columns: Mapping[str, Column]) -> dict[str, int]:
    entity = sighting.entity
    if not entity.header_first:
        return {}
    statuses = columns["status"].values if "status" in columns else repeat(None)
    standing = zip(ids.values, statuses, moments.values, strict=False)
    return {
        source_id: rank(entity, status=status, modified_at=modified_at, read_at=sighting.read_at)
        for source_id, status, modified_at in standing
    }
