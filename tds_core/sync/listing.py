"""A list page meets the mirror: equal bytes are skipped, the rest is read, compared and applied or put on the queue."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from tds_core.sources.base import ListedRow
from tds_core.sources.errors import InvalidRecordError
from tds_core.sync import dead_letters, queue
from tds_core.sync.apply import apply, confirm, lock_rows
from tds_core.sync.candidate import Candidate, Provenance, Seen, fingerprint, transform
from tds_core.sync.decide import Outcome, decide
from tds_core.sync.statements import statements_for
from tds_models.entity import Entity


def take_rows(
    session: Session,
    entity: Entity,
    rows: Sequence[ListedRow],
    *,
    read_at: datetime,
    run_id: int,
    correlation_id: str,
) -> Counter[str]:
    """Bring the mirror to one page of a list asked for at `read_at`. Returns how many records had which outcome."""
    hashes = {row.source_id: fingerprint(row.raw) for row in rows}
    known = _known(session, entity, list(hashes))
    fresh = [row for row in rows if known.get(row.source_id) != hashes[row.source_id]]
    counts: Counter[str] = Counter({Outcome.UNCHANGED: len(rows) - len(fresh)})
    candidates, invalid = [], []
    provenance = Provenance("run", run_id, correlation_id)
    for row in fresh:
        try:
            candidates.append(
                transform(
                    entity,
                    row.raw,
                    seen=Seen.LIST,
                    read_at=read_at,
                    list_hash=hashes[row.source_id],
                    provenance=provenance,
                )
            )
        except InvalidRecordError as error:
            invalid.append((row.source_id, error))
    take = _apply if entity.stream.list_is_complete else _survey
    counts.update(take(session, entity, candidates, correlation_id))
    counts["invalid"] += len(invalid)
    _bury(session, entity, invalid, correlation_id)
    return +counts


def _known(session: Session, entity: Entity, ids: list[str]) -> dict[str, bytes]:
    given = {"source": entity.stream.source, "ids": ids}
    return {key: bytes(value) for key, value in session.execute(statements_for(entity.name).known, given)}


def _apply(session: Session, entity: Entity, candidates: Sequence[Candidate], correlation_id: str) -> Counter[str]:
    applied = apply(session, entity, candidates)
    again = [each.candidate.source_id for each in applied if each.outcome is Outcome.LOOK_AGAIN]
    queue.enqueue(session, entity=entity.name, source_ids=again, origin="run", bulk=True, correlation_id=correlation_id)
    return Counter(each.outcome for each in applied)


def _survey(session: Session, entity: Entity, candidates: Sequence[Candidate], correlation_id: str) -> Counter[str]:
    """For lists that show only part of a record: confirm what is known, owe a reading where something changed.

    A row that was read in detail at this very time is right whatever the list's spelling of it; one that only a
    webhook told us of is confirmed when all that the list shows agrees.
    """
    current = lock_rows(session, entity, sorted(candidate.source_id for candidate in candidates))
    counts: Counter[str] = Counter()
    to_read, to_confirm = [], []
    for candidate in candidates:
        row = current.get(candidate.source_id)
        decision = decide(candidate, row)
        settled = decision.outcome is Outcome.UNCHANGED and row and row["source_modified_at"] == candidate.modified_at
        confirmed = row and row["confirmed_at"] and row["source_modified_at"] == candidate.modified_at
        if decision.outcome is Outcome.STALE or ((settled or confirmed) and row and row["deleted_at"] is None):
            to_confirm += [candidate] if decision.outcome is not Outcome.STALE else []
            counts[Outcome.STALE if decision.outcome is Outcome.STALE else Outcome.UNCHANGED] += 1
        else:
            to_read.append(candidate.source_id)
            counts["to_read"] += 1
    confirm(session, entity, to_confirm, current)
    queue.enqueue(
        session, entity=entity.name, source_ids=to_read, origin="run", bulk=True, correlation_id=correlation_id
    )
    return counts


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
