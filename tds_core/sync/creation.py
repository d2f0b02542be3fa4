"""Creation: records the mirror has never seen, decided and spelled out while the page before them is being written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from tds_core.sync import audit
from tds_core.sync.candidate import Candidate
from tds_core.sync.copying import Copy, spell, try_copy
from tds_core.sync.decide import decide
from tds_models.entity import Entity

# From so many new rows on, COPY is cheaper than an INSERT.
AT_LEAST = 20


@dataclass(frozen=True, slots=True)
class Creation:
    """New records of one entity: themselves, their rows and their history, ready to be sent."""

    candidates: Sequence[Candidate]
    rows: Copy
    history: Copy


def prepare_creation(entity: Entity, candidates: Sequence[Candidate]) -> Creation | None:
    """Make `candidates`, none of which the mirror has, ready. `None`: too few to be worth it, or not fit for it."""
    if len(candidates) < AT_LEAST:
        return None
    decided = [(candidate, decide(candidate, None)) for candidate in candidates]
    rows = spell(entity.table.fullname, _columns(entity), [_row(entity, candidate) for candidate in candidates])
    return Creation(candidates, rows, audit.spell_entries(entity, decided, {}))


def create(session: Session, creation: Creation) -> bool:
    """Write all of it, or, when somebody created one of the records in the meantime, nothing (False)."""
    return try_copy(session, creation.rows, creation.history)


def _columns(entity: Entity) -> list[str]:
    standing = ("source_modified_at", "source_record", "list_hash", "version", "confirmed_at")
    return ["source", "source_id", *(field.name for field in entity.fields), *standing]


def _row(entity: Entity, candidate: Candidate) -> list[Any]:
    value_of = candidate.values.get
    return [
        entity.stream.source,
        candidate.source_id,
        *[value_of(field.name) for field in entity.fields],
        candidate.modified_at,
        candidate.record.decode(),
        "\\x" + candidate.list_hash.hex() if candidate.list_hash else None,
        1,
        candidate.read_at,
    ]
