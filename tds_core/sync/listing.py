"""A list page meets the mirror: equal bytes are skipped, the rest is read, compared, and applied or put on the queue.

Preparing (skip and read) needs no lock and so runs while the page before is being written.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tds_core.sources.base import ListedRow
from tds_core.sources.errors import InvalidRecordError
from tds_core.sync import dead_letters, queue
from tds_core.sync.apply import apply, confirm, read_rows
from tds_core.sync.candidate import Candidate, Provenance, Seen, fingerprint, transform
from tds_core.sync.creation import Creation, create, prepare_creation
from tds_core.sync.decide import Outcome, decide, is_settled
from tds_core.sync.statements import statements_for
from tds_models.entity import Entity


@dataclass(frozen=True, slots=True)
class Prepared:
    """One page, ready to be written: its rows' fingerprints, how many the mirror has already, what is new, what is
    changed, and what breaks the rules.
    """

    hashes: Mapping[str, bytes]
    equal_count: int
    creation: Creation | None
    candidates: Sequence[Candidate]
    invalid: Sequence[tuple[str, InvalidRecordError]]


def prepare(
    session: Session,
    entity: Entity,
    rows: Sequence[ListedRow],
    *,
    read_at: datetime,
    provenance: Provenance,
    before: Mapping[str, bytes],
) -> Prepared:
    """Skip the rows of a page asked for at `read_at` whose bytes the mirror has already; read the others.

    `before`: the fingerprints of the page before, which is being written only now and may share rows with this one.
    """
    hashes = {row.source_id: fingerprint(row.raw) for row in rows}
    given = {"source": entity.stream.source, "ids": list(hashes)}
    stored = session.execute(statements_for(entity.name).known, given)
    known = {**before, **{row.source_id: row.list_hash for row in stored}}
    fresh = {row.source_id: row.raw for row in rows if bytes(known.get(row.source_id) or b"") != hashes[row.source_id]}
    candidates, invalid = [], []
    for source_id, raw in fresh.items():
        list_hash = hashes[source_id]
        try:
            candidates.append(
                transform(entity, raw, seen=Seen.LIST, read_at=read_at, list_hash=list_hash, provenance=provenance)
            )
        except InvalidRecordError as error:
            invalid.append((source_id, error))
    new = [candidate for candidate in candidates if candidate.source_id not in known]
    creation = prepare_creation(entity, new) if entity.stream.list_is_complete else None
    if creation:
        candidates = [candidate for candidate in candidates if candidate.source_id in known]
    return Prepared(hashes, len(hashes) - len(fresh), creation, candidates, invalid)


def take(session: Session, entity: Entity, prepared: Prepared, *, correlation_id: str) -> Counter[str]:
    """Write a prepared page. Returns how many records had which outcome."""
    counts: Counter[str] = Counter({Outcome.UNCHANGED: prepared.equal_count, "invalid": len(prepared.invalid)})
    candidates = prepared.candidates
    if prepared.creation and create(session, prepared.creation):
        counts[Outcome.CREATED] += len(prepared.creation.candidates)
        _heal(session, entity, [candidate.source_id for candidate in prepared.creation.candidates])
    elif prepared.creation:
        candidates = [*candidates, *prepared.creation.candidates]
    write = _apply if entity.stream.list_is_complete else _survey
    if candidates:
        counts.update(write(session, entity, candidates, correlation_id))
    _bury(session, entity, prepared.invalid, correlation_id)
    return +counts


def _apply(session: Session, entity: Entity, candidates: Sequence[Candidate], correlation_id: str) -> Counter[str]:
    applied = apply(session, entity, candidates)
    again = [each.candidate.source_id for each in applied if each.outcome is Outcome.LOOK_AGAIN]
    _owe(session, entity, again, correlation_id)
    right = [each.candidate.source_id for each in applied if each.outcome not in (Outcome.LOOK_AGAIN, Outcome.STALE)]
    _heal(session, entity, right)
    return Counter(each.outcome for each in applied)


def _survey(session: Session, entity: Entity, candidates: Sequence[Candidate], correlation_id: str) -> Counter[str]:
    """For lists that show only part of a record: confirm what is known, owe a reading where something changed."""
    current = read_rows(session, entity, sorted(candidate.source_id for candidate in candidates))
    counts: Counter[str] = Counter()
    to_read, to_confirm = [], []
    for candidate in candidates:
        outcome = survey(candidate, current.get(candidate.source_id))
        counts[outcome or "to_read"] += 1
        if outcome is None:
            to_read.append(candidate.source_id)
        elif outcome is Outcome.UNCHANGED:
            to_confirm.append(candidate)
    _owe(session, entity, to_read, correlation_id)  # the queue is locked before the mirror, as workers do
    confirm(session, entity, to_confirm, current)
    return counts


def survey(candidate: Candidate, row: dict[str, object] | None) -> Outcome | None:
    """What a partial list row says of `row`: unchanged, stale, or (`None`) that the record has to be read.

    A row that was read well after its last change is right, however the list spells it; one that was read in the very
    second of the change, or that only a webhook told us of, is confirmed when all that the list shows agrees.
    """
    decision = decide(candidate, row)
    if decision.outcome is Outcome.STALE:
        return Outcome.STALE
    if row is None or row["deleted_at"] is not None or row["source_modified_at"] != candidate.modified_at:
        return None
    return Outcome.UNCHANGED if is_settled(row) or decision.outcome is Outcome.UNCHANGED else None


def _heal(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    dead_letters.heal(session, source=entity.stream.source, entity=entity.name, source_ids=source_ids)


def _owe(session: Session, entity: Entity, source_ids: Sequence[str], correlation_id: str) -> None:
    queue.enqueue(
        session, entity=entity.name, source_ids=source_ids, origin="run", bulk=True, correlation_id=correlation_id
    )


def _bury(
    session: Session, entity: Entity, invalid: Sequence[tuple[str, InvalidRecordError]], correlation_id: str
) -> None:
    """A list row that breaks the rules is a dead letter at once: reading it again would say the same."""
    letters = [
        {
            "source_id": source_id,
            "error_class": error.code,
            "error": str(error)[:2000],
            "attempts": 1,
            "priority": entity.priority,
            "correlation_id": correlation_id,
            "generation": 0,
        }
        for source_id, error in invalid
    ]
    dead_letters.bury(session, source=entity.stream.source, entity=entity.name, letters=letters)
