"""List comparison: the rows of a list page against the mirror: proven equal, or suspect. Writes nothing.

Rows whose bytes, and whose mirror rows, are as they were when they were proven equal need no parsing.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison.content_hashes import content_hash, reads_details
from tds_core.comparison.row_states import Proof, RowState, row_states, unmoved
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.invariants import history_checks
from tds_core.quality.future_timestamps import Clock
from tds_core.records.apply import read_rows
from tds_core.records.compare import differences
from tds_core.records.transform import Candidate, Provenance, RecordView, fingerprint, transform
from tds_core.sources.base import ListedRow
from tds_core.sync.partial_rows import lacks_listed_value
from tds_models.comparison import DifferenceKind
from tds_models.entities.declaration import Entity


@dataclass(frozen=True, slots=True)
class Suspect:
    """A record that may differ, and why: what confirms or clears it is a reading of the record itself."""

    source_id: str
    kind: DifferenceKind
    reason: str
    list_hash: bytes | None = None


@dataclass(slots=True)
class ListComparison:
    """What a list page proves. `source_ids`: the records of this entity on it; `proofs`: those newly proven equal."""

    source_ids: list[str] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)

    def suspect(self, source_id: str, kind: DifferenceKind, reason: str, list_hash: bytes | None = None) -> None:
        """Add a suspect."""
        self.suspects.append(Suspect(source_id, kind, reason, list_hash))


UNLISTED = "the list does not show every change"
MOVED = "the row changed while it was compared"
CHANGED_HERE = "the row is not what its history comes to"


def compare_rows(
    session: Session, entity: Entity, rows: Sequence[ListedRow], *, read_at: datetime, clock: Clock | None
) -> ListComparison:
    """Compare the rows of list pages that were requested at `read_at` (the database's clock) or later with the mirror.

    Of a record that several pages show, the last row counts.
    """
    raws = {row.source_id: row.raw for row in rows}
    hashes = {source_id: fingerprint(raw) for source_id, raw in raws.items()}
    states = row_states(session, entity, list(raws))
    result = ListComparison()
    unknown: dict[str, bytes] = {}
    for source_id, raw in raws.items():
        state = states[source_id]
        if state.is_as_proven and state.proven_list_hash == hashes[source_id] and not reads_details(entity):
            result.source_ids.append(source_id)
        else:
            unknown[source_id] = raw
    candidates = _read(entity, unknown, read_at, clock, result)
    if candidates:
        _compare(session, entity, candidates, states, result)
    return result


def _read(
    entity: Entity, raws: Mapping[str, bytes], read_at: datetime, clock: Clock | None, result: ListComparison
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
                    list_hash=fingerprint(raw),
                    clock=clock,
                )
            )
        except OtherKindError:
            continue
        except InvalidRecordError as error:
            result.suspect(source_id, DifferenceKind.DIFFERENT, f"its list row cannot be read: {error}")
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
            result.suspect(source_id, DifferenceKind.MISSING_HERE, "the list shows it", candidate.list_hash)
        elif source_id not in still:
            result.suspect(source_id, DifferenceKind.DIFFERENT, MOVED, candidate.list_hash)
        elif reason := _doubt(entity, candidate, row, state, changed_here):
            result.suspect(source_id, DifferenceKind.DIFFERENT, reason, candidate.list_hash)
        else:
            proof = Proof(
                source_id, candidate.list_hash, state.digest, content_hash(entity, source_id, candidate.values),
                is_detailed=False,
            )  # fmt: skip
            result.proofs.append(proof)


def _doubt(
    entity: Entity, candidate: Candidate, row: Mapping[str, Any], state: RowState, changed_here: Set[str]
) -> str:
    """Why a list row does not prove that the mirror's row is equal; empty if it does."""
    differing = differences(candidate, row)
    if differing:
        return "the list shows another value: " + ", ".join(sorted(differing))
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
    source_ids: Sequence[str],
    *,
    since: datetime,
    trusts_proofs: bool,
    differed: Set[str] = frozenset(),
) -> ListComparison:
    """Compare records that an earlier pass, begun at `since`, listed with the mirror, without asking the source.

    `trusts_proofs`: the pass was itself a comparison, that found these records equal but `differed`; otherwise the list
    row which the mirror last took in has to be the one that pass saw.
    """
    states = row_states(session, entity, source_ids)
    read_ids = _read_since(session, entity, source_ids, since) if reads_details(entity) else set(source_ids)
    result = ListComparison(source_ids=list(source_ids))
    unknown = []
    for source_id in source_ids:
        state = states[source_id]
        if not state.is_live or state.digest is None:
            result.suspect(source_id, DifferenceKind.MISSING_HERE, "the list showed it")
        elif trusts_proofs:
            if source_id in differed or not state.is_as_proven:
                result.suspect(source_id, DifferenceKind.DIFFERENT, "the row changed since it was compared")
        elif reason := _not_confirmed(entity, state, is_read=source_id in read_ids):
            result.suspect(source_id, DifferenceKind.DIFFERENT, reason)
        elif not (state.is_as_proven and state.proven_list_hash == state.list_hash):
            unknown.append(source_id)
    _prove_by_history(session, entity, unknown, states, result)
    return result


def _not_confirmed(entity: Entity, state: RowState, *, is_read: bool) -> str:
    """Why the pass did not confirm a row; empty if it did. `is_read`: the record was read in detail since it began."""
    if not state.is_whole:
        return "it has not been read in detail yet"
    if reads_details(entity):
        return "" if is_read else UNLISTED
    return "" if state.list_hash is not None else "it changed since the list was read"


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
    changed_here = changed_by_others(session, entity, source_ids)
    rows = read_rows(session, entity, source_ids) if source_ids else {}
    still = unmoved(session, entity, {key: states[key] for key in source_ids}) if source_ids else set()
    for source_id in source_ids:
        state = states[source_id]
        if source_id not in still:
            result.suspect(source_id, DifferenceKind.DIFFERENT, MOVED)
            continue
        if source_id in changed_here or source_id not in rows or state.digest is None:
            result.suspect(source_id, DifferenceKind.DIFFERENT, CHANGED_HERE)
            continue
        content = content_hash(entity, source_id, rows[source_id])
        is_detailed = reads_details(entity)
        result.proofs.append(Proof(source_id, state.list_hash, state.digest, content, is_detailed))


def changed_by_others(session: Session, entity: Entity, source_ids: Sequence[str]) -> set[str]:
    """Those of `source_ids` whose row or lines are not what their history comes to: not TDS changed them."""
    if not source_ids:
        return set()
    changed: set[str] = set()
    for check in history_checks.checks_of(entity, of_ids=True):
        statement = text(f"select source_id from ({check.broken}) as broken")
        changed |= set(session.execute(statement, {"ids": list(source_ids)}).scalars())
    return changed
