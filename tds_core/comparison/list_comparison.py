"""List comparison: the rows of a list page against the mirror: proven equal, or suspect. Writes nothing.

Rows whose bytes, and whose mirror rows, are as they were when they were proven equal need no parsing.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison.content_hashes import content_hash, have_same_content, reads_details
from tds_core.comparison.record_proofs import Proof, RowState, row_states, unmoved, unproven_states
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.invariants import history_checks
from tds_core.quality.future_timestamps import Clock
from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import differences
from tds_core.records.transform import Candidate, Provenance, RecordView, transform
from tds_core.sync.partial_rows import lacks_listed_value
from tds_models.comparison import DifferenceKind
from tds_models.entities.declaration import Entity


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A record that may differ, and why: what confirms or clears it is a reading of the record itself.

    `list_hash`: the fingerprint of its list row, where that shows no other value than the mirror has;
    `list_modified_at`: its time of change; `fields`: JSON of the values it shows otherwise, here and there by field.
    """

    source_id: str
    kind: DifferenceKind
    reason: str
    list_hash: bytes | None = None
    list_modified_at: datetime | None = None
    fields: bytes = b"{}"
    is_sampled: bool = False


@dataclass(slots=True)
class ListComparison:
    """What a list page proves. `source_ids`: the records of this entity on it; `proofs`: those newly proven equal."""

    source_ids: list[str] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)

    def suspect(self, source_id: str, reason: str, kind: DifferenceKind = DifferenceKind.DIFFERENT) -> None:
        """Add a suspect of which no list row is known."""
        self.suspects.append(Suspect(source_id=source_id, kind=kind, reason=reason))


UNLISTED = "the list does not show every change"
MOVED = "the row changed while it was compared"
CHANGED_HERE = "the row is not what its history comes to"


def compare_rows(
    session: Session,
    entity: Entity,
    raws: Mapping[str, bytes],
    list_hashes: Mapping[str, bytes],
    *,
    read_at: datetime,
    clock: Clock | None,
) -> ListComparison:
    """Compare the rows of list pages that were requested at `read_at` (the database's clock) or later with the mirror.

    `raws`, `list_hashes`: by source id, the bytes of the row and their fingerprint.
    """
    if reads_details(entity):
        states = row_states(session, entity, list(raws))
    else:
        states = unproven_states(session, entity, list_hashes)
    result = ListComparison(source_ids=[source_id for source_id in raws if source_id not in states])
    unknown = {source_id: raw for source_id, raw in raws.items() if source_id in states}
    candidates = _read(entity, unknown, list_hashes, read_at=read_at, clock=clock, result=result)
    if candidates:
        _compare(session, entity, candidates, states, result)
    return result


def _read(
    entity: Entity,
    raws: Mapping[str, bytes],
    list_hashes: Mapping[str, bytes],
    *,
    read_at: datetime,
    clock: Clock | None,
    result: ListComparison,
) -> list[Candidate]:
    """Parse rows. One that cannot be a row is suspect; one of another kind is none of this entity's."""
    candidates = []
    for source_id, raw in raws.items():
        try:
            candidates.append(
                transform(
                    entity,
                    raw,
                    view=RecordView.LIST,
                    provenance=Provenance("comparison"),
                    read_at=read_at,
                    list_hash=list_hashes[source_id],
                    clock=clock,
                )
            )
        except OtherKindError:
            continue
        except InvalidRecordError as error:
            result.suspect(source_id, f"its list row cannot be read: {error}")
        result.source_ids.append(source_id)
    return candidates


def _compare(
    session: Session,
    entity: Entity,
    candidates: Sequence[Candidate],
    states: Mapping[str, RowState],
    result: ListComparison,
) -> None:
    ids = [each.source_id for each in candidates]
    rows = read_rows(session, entity, ids)
    changed_here = changed_by_others(session, entity, [key for key in ids if not states[key].is_as_proven])
    # Each statement sees what is committed by then.
    still = unmoved(session, entity, {key: states[key] for key in ids})
    for candidate in candidates:
        source_id, state, row = candidate.source_id, states[candidate.source_id], rows.get(candidate.source_id)
        if row is None or not state.is_live or state.digest is None:
            suspect = _suspect(entity, candidate, "the list shows it", kind=DifferenceKind.MISSING_HERE)
            result.suspects.append(suspect)
            continue
        changes = differences(candidate, row)
        if source_id not in still:
            reason = MOVED
        elif changes:
            reason = "the list shows another value: " + ", ".join(sorted(changes))
        else:
            reason = _doubt(entity, candidate, row, state, changed_here)
        if not reason and not have_same_content(entity, candidate.values, row):
            reason = "the two sides are spelled differently"
        if reason:
            result.suspects.append(_suspect(entity, candidate, reason, changes))
        else:
            content = content_hash(entity, source_id, row)
            result.proofs.append(Proof(source_id, candidate.list_hash, state.digest, content, is_detailed=False))


def _suspect(
    entity: Entity,
    candidate: Candidate,
    reason: str,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    *,
    kind: DifferenceKind = DifferenceKind.DIFFERENT,
) -> Suspect:
    """A suspect with what its list row shows; of one that the mirror lacks, the row shows nothing otherwise."""
    return Suspect(
        source_id=candidate.source_id,
        kind=kind,
        reason=reason,
        list_hash=None if changes else candidate.list_hash,
        list_modified_at=None if candidate.ahead_at else candidate.modified_at,
        fields=history.spell_changes(entity, changes or {}),
    )


def _doubt(
    entity: Entity,
    candidate: Candidate,
    row: Mapping[str, Any],
    state: RowState,
    changed_here: Set[str],
) -> str:
    """Why a list row that shows no other value does not prove that the mirror's row is equal; empty if it does."""
    ours, theirs = row["source_modified_at"], candidate.modified_at
    if theirs is not None and ours is not None and theirs != ours and candidate.ahead_at is None:
        return f"the list has it changed at {theirs:%Y-%m-%d %H:%M:%S}, the mirror at {ours:%Y-%m-%d %H:%M:%S} UTC"
    if candidate.source_id in changed_here:
        return CHANGED_HERE
    if reads_details(entity):
        return UNLISTED
    if not state.is_whole:
        return "it has not been read in detail yet"
    return "the list shows no value where the mirror has one" if lacks_listed_value(entity, candidate, row) else ""


def compare_followed(
    session: Session,
    entity: Entity,
    list_hashes: Mapping[str, bytes],
    *,
    since: datetime,
    trusts_proofs: bool,
    differed: Set[str] = frozenset(),
) -> ListComparison:
    """Compare records that an earlier pass, begun at `since`, listed with the mirror, without asking the source.

    `list_hashes`: by source id, the fingerprints of the rows that pass saw. `trusts_proofs`: the pass was itself a
    comparison, that found these records equal but `differed`; otherwise the mirror has to have taken in that very row.
    """
    states = row_states(session, entity, list(list_hashes))
    read_ids = _read_since(session, entity, list(list_hashes), since) if reads_details(entity) else set(list_hashes)
    result = ListComparison(source_ids=list(list_hashes))
    unknown = []
    for source_id, list_hash in list_hashes.items():
        state = states[source_id]
        if not state.is_live or state.digest is None:
            result.suspect(source_id, "the list showed it", DifferenceKind.MISSING_HERE)
        elif trusts_proofs:
            if source_id in differed or not state.is_as_proven:
                result.suspect(source_id, "the row changed since it was compared")
        elif reason := _not_confirmed(state, list_hash, is_read=source_id in read_ids):
            result.suspect(source_id, reason)
        elif not (state.is_as_proven and state.proven_list_hash == list_hash):
            unknown.append(source_id)
    if unknown:
        _prove_by_history(session, entity, unknown, states, result)
    return result


def _not_confirmed(state: RowState, list_hash: bytes, *, is_read: bool) -> str:
    """Why the pass did not confirm a row; empty if it did. `is_read`: the record was read in detail since it began."""
    if not state.is_whole:
        return "it has not been read in detail yet"
    if state.list_hash != list_hash:
        return "the mirror has not taken in the row that the list showed, or changed since"
    return "" if is_read else UNLISTED


# A reading that brought nothing new leaves the row untouched, so the log of attempts is asked.
_READ_SINCE = text("""
select distinct source_id from tds_sync_logs
where source = :source and entity = :entity and source_id = any(:ids) and ended_at >= :since
  and outcome in ('created', 'updated', 'unchanged', 'restored')
""")


def _read_since(session: Session, entity: Entity, source_ids: Sequence[str], since: datetime) -> set[str]:
    params = {"source": entity.stream.source, "entity": entity.name, "ids": list(source_ids), "since": since}
    return set(session.execute(_READ_SINCE, params).scalars())


def _prove_by_history(
    session: Session, entity: Entity, source_ids: Sequence[str], states: Mapping[str, RowState], result: ListComparison
) -> None:
    """Rows that a pass confirmed and that are what their history comes to are what the source showed."""
    changed_here = changed_by_others(session, entity, source_ids) | _without_beginning(session, entity, source_ids)
    rows = read_rows(session, entity, source_ids)
    still = unmoved(session, entity, {key: states[key] for key in source_ids})
    for source_id in source_ids:
        state = states[source_id]
        if source_id not in still:
            result.suspect(source_id, MOVED)
        elif source_id in changed_here or source_id not in rows or state.digest is None:
            result.suspect(source_id, CHANGED_HERE)
        else:
            content = content_hash(entity, source_id, rows[source_id])
            proof = Proof(source_id, state.list_hash, state.digest, content, is_detailed=reads_details(entity))
            result.proofs.append(proof)


# Where retention removed the first version, a row is rebuilt from itself: its history witnesses nothing.
_BEGINNINGS = text("""
select source_id from tds_audit_trail
where source = :source and entity = :entity and source_id = any(:ids) and version = 1
""")


def _without_beginning(session: Session, entity: Entity, source_ids: Sequence[str]) -> set[str]:
    params = {"source": entity.stream.source, "entity": entity.name, "ids": list(source_ids)}
    return set(source_ids) - set(session.execute(_BEGINNINGS, params).scalars())


def changed_by_others(session: Session, entity: Entity, source_ids: Sequence[str]) -> set[str]:
    """Those of `source_ids` whose row or lines are not what their history comes to: not TDS changed them."""
    if not source_ids:
        return set()
    changed: set[str] = set()
    for check in history_checks.checks_of(entity, of_ids=True):
        statement = text(f"select source_id from ({check.broken}) as broken")
        changed |= set(session.execute(statement, {"ids": list(source_ids)}).scalars())
    return changed
