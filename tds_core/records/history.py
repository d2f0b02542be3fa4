"""History: writes one audit entry for each new version of a row, in the transaction that makes it."""

from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from itertools import repeat
from typing import Any

from sqlalchemy.orm import Session

from tds_core.quality.unstorable_values import spell_exactly
from tds_core.records.compare import Decision, RowOutcome
from tds_core.records.sql import Copy, as_text, copy, lay_out, spell
from tds_core.records.transform import Candidate, Provenance
from tds_models.entities.declaration import Entity

TABLE = "tds_audit_trail"
#: The operation of a version by which a row came back that had gone without a version of its own.
REPAIRED = "repaired"
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
    versions: Mapping[str, int],
    *,
    new: Set[str] = frozenset(),
) -> None:
    """Write down `written`, by which their rows came to `versions`; `new`: those that had no row before."""
    if not written:
        return
    rows = [
        _entry(entity, candidate, decision, versions[candidate.source_id], is_new=candidate.source_id in new)
        for candidate, decision in written
    ]
    copy(session, spell(TABLE, COLUMNS, rows))


def spell_creations(
    entity: Entity,
    source_ids: Iterable[str],
    moments: Iterable[str],
    changes: Iterable[Sequence[str]],
    provenance: Provenance,
) -> Copy:
    """The entries of new records, ready to be appended in the transaction that writes their rows.

    All as COPY has it: their source ids, when the source last changed them, and what each brings, field by field
    (`"name":[null,"Bolt"]`; empty where there is no value).
    """
    spelled = {
        "source": repeat(entity.stream.source),
        "entity": repeat(entity.name),
        "source_id": source_ids,
        "version": repeat("1"),
        "operation": repeat(RowOutcome.CREATED.value),
        "changes": ["{" + ",".join(filter(None, parts)) + "}" for parts in changes],
        "origin": repeat(as_text(provenance.origin)),
        "origin_id": repeat(as_text(provenance.id)),
        "correlation_id": repeat(as_text(provenance.correlation_id)),
        "source_modified_at": moments,
    }
    return lay_out(TABLE, list(spelled), zip(*spelled.values(), strict=False))  # some never end


def spell_changes(entity: Entity, changes: Mapping[str, Sequence[Any]]) -> bytes:
    """The JSON of changes (before and after, by field) as the history has them.

    The numbers of our own columns are text, those of nested values numbers.
    """
    entries: dict[str, list[Any]] = {}
    for name, pair in changes.items():
        if name in entity.line_tables:
            entries[name] = [lines and [{k: _as_text(v) for k, v in line.items()} for line in lines] for lines in pair]
        else:
            entries[name] = [_as_text(value) for value in pair]
    return spell_exactly(entries)


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is Decimal else value


def _entry(entity: Entity, candidate: Candidate, decision: Decision, version: int, *, is_new: bool) -> tuple[Any, ...]:
    # The first version of a row whose history was there already: somebody had taken the row away.
    # What it had before is over, field by field.
    is_repair = is_new and version > 1
    names = [*(field.name for field in entity.fields), *entity.line_tables] if is_repair else []
    nothing: dict[str, Sequence[Any]] = dict.fromkeys(names, (None, None))
    return (
        entity.stream.source,
        entity.name,
        candidate.source_id,
        version,
        REPAIRED if is_repair and decision.outcome is RowOutcome.CREATED else decision.outcome.value,
        spell_changes(entity, {**nothing, **decision.changes}).decode(),
        candidate.provenance.origin,
        candidate.provenance.id,
        candidate.provenance.correlation_id,
        candidate.ahead_at or candidate.modified_at,
    )
