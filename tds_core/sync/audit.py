"""The audit trail's writer: one entry for each new version of a row, in the transaction that made it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from tds_core.sync.candidate import Candidate
from tds_core.sync.copying import Copy, copy, spell
from tds_core.sync.decide import Decision
from tds_models.entity import Entity

COLUMNS = (
    "source",
    "entity",
    "source_id",
    "version",
    "operation",
    "changes",
    "origin",
    "origin_id",
    "correlation_id",
    "source_modified_at",
)


def record(
    session: Session,
    entity: Entity,
    written: Sequence[tuple[Candidate, Decision]],
    current: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write down `written`, whose rows stood as `current` before."""
    if not written:
        return
    copy(session, spell_entries(entity, written, current))


def spell_entries(
    entity: Entity, written: Sequence[tuple[Candidate, Decision]], current: Mapping[str, Mapping[str, Any]]
) -> Copy:
    """The entries of `written`, ready to be appended in the transaction that writes the rows."""
    rows = [_entry(entity, candidate, decision, current.get(candidate.source_id)) for candidate, decision in written]
    return spell("tds_audit_trail", COLUMNS, rows)


def _entry(
    entity: Entity, candidate: Candidate, decision: Decision, before: Mapping[str, Any] | None
) -> tuple[Any, ...]:
    return (
        entity.stream.source,
        entity.name,
        candidate.source_id,
        1 if before is None else before["version"] + 1,
        decision.outcome.value,
        msgspec.json.encode(decision.changes).decode(),
        candidate.provenance.origin,
        candidate.provenance.id,
        candidate.provenance.correlation_id,
        candidate.modified_at,
    )
