"""Confirmation: decides suspects by readings of the records themselves. A difference is called one only here."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from tds_core.comparison import causes, suspects
from tds_core.comparison.causes import Finding
from tds_core.comparison.content_hashes import content_hash
from tds_core.comparison.list_comparison import MOVED, changed_by_others
from tds_core.comparison.row_states import Proof, RowState, row_states, store_proofs, unmoved
from tds_core.comparison.suspects import ConfirmedDifference, DueSuspect
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.quality.future_timestamps import Clock
from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import differences
from tds_core.records.transform import Candidate, Provenance, RecordView, transform
from tds_core.sources.base import FetchResult
from tds_core.sync import partial_rows
from tds_models.comparison import DifferenceKind
from tds_models.entities.declaration import Entity

Row = Mapping[str, Any]
OWED = "TDS has work to do for it"


class Outcome(StrEnum):
    """What a reading says of a suspect."""

    EQUAL = "equal"
    DIFFERENT = "different"
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    LATER = "later"  # it cannot be decided yet


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome, with what differs (field → here, there), or why it cannot be decided yet."""

    outcome: Outcome
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    reason: str = ""


def judge(
    candidate: Candidate | None, row: Row | None, *, read_at: datetime, now: datetime, settle: timedelta, is_owed: bool
) -> Judgement:
    """Compare a record as the source shows it (None: it has none) with the mirror's row (None: no row).

    `read_at`: the database's clock before the record was asked for; `now`: after. `settle`: so long a change may be
    on its way. `is_owed`: TDS has work to do for the record.
    """
    here = row if row is not None and row["deleted_at"] is None else None
    judgement = _held_together(candidate, here)
    if judgement.outcome is Outcome.EQUAL:
        return judgement
    if is_owed:
        return Judgement(Outcome.LATER, reason=OWED)
    if row is not None and row["changed_at"] > read_at - timedelta(seconds=1):
        return Judgement(Outcome.LATER, reason="the row changed while the record was read")
    if candidate is not None and candidate.modified_at and candidate.modified_at > now - settle:
        return Judgement(Outcome.LATER, reason="it changed a moment ago, and a webhook may be on its way")
    return judgement


def _held_together(candidate: Candidate | None, here: Row | None) -> Judgement:
    if candidate is None:
        return Judgement(Outcome.EQUAL if here is None else Outcome.MISSING_THERE)
    if here is None:
        return Judgement(Outcome.MISSING_HERE)
    changes = differences(candidate, here)
    return Judgement(Outcome.DIFFERENT if changes else Outcome.EQUAL, changes)


@dataclass(slots=True)
class Decisions:
    """How the suspects of one batch were decided."""

    equal: list[str] = field(default_factory=list)
    confirmed: list[tuple[DueSuspect, Judgement, Candidate | None]] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    candidates: dict[str, Candidate] = field(default_factory=dict)


def decide(
    session: Session,
    comparison_id: int,
    entity: Entity,
    due: Sequence[DueSuspect],
    reading: FetchResult,
    *,
    read_at: datetime,
    now: datetime,
    settle_seconds: float,
    clock: Clock,
) -> Decisions:
    """Decide suspects by `reading`, which was asked for after `read_at`, and store what comes of it."""
    shown = partial_rows.shown_in_details(session, entity)
    ids = sorted(each.source_id for each in due)
    states = row_states(session, entity, ids)
    rows = read_rows(session, entity, ids)
    still = unmoved(session, entity, states)
    decisions = Decisions()
    for suspect in due:
        key = suspect.source_id
        if suspect.is_owed and key not in reading.records and key not in reading.missing:
            decisions.later[key] = OWED
            continue
        try:
            candidate = _candidate(entity, reading, key, read_at=read_at, shown=shown, clock=clock)
        except _UndecidedError as error:
            decisions.later[key] = str(error)
            continue
        judgement = judge(
            candidate, rows.get(key), read_at=read_at, now=now, settle=timedelta(seconds=settle_seconds),
            is_owed=suspect.is_owed,
        )  # fmt: skip
        if key not in still:
            judgement = Judgement(Outcome.LATER, reason=MOVED)
        if candidate is not None:
            decisions.candidates[key] = candidate
        if judgement.outcome is Outcome.EQUAL:
            decisions.equal.append(key)
        elif judgement.outcome is Outcome.LATER:
            decisions.later[key] = judgement.reason
        else:
            decisions.confirmed.append((suspect, judgement, candidate))
    _store_equal(session, entity, decisions, states, {each.source_id: each.list_hash for each in due})
    suspects.clear(session, comparison_id, entity, decisions.equal)
    suspects.postpone(session, comparison_id, entity, decisions.later, settle_seconds=settle_seconds)
    suspects.confirm(session, comparison_id, entity, _explained(session, entity, decisions, rows))
    return decisions


class _UndecidedError(Exception):
    """The reading says nothing usable of a record."""


def _candidate(
    entity: Entity, reading: FetchResult, key: str, *, read_at: datetime, shown: Set[str], clock: Clock
) -> Candidate | None:
    """The record as it was read; None if the source has none of this entity."""
    if key in reading.missing:
        return None
    if key not in reading.records:
        raise _UndecidedError(f"it could not be read: {reading.failures.get(key, 'the source said nothing of it')}")
    try:
        return transform(
            entity, reading.records[key], view=RecordView.DETAIL, provenance=Provenance("comparison"), read_at=read_at,
            shown=shown, clock=reading.clocks.get(key, clock),
        )  # fmt: skip
    except OtherKindError:
        return None
    except InvalidRecordError as error:
        raise _UndecidedError(f"the source's record cannot be read: {error}") from None


def _explained(
    session: Session, entity: Entity, decisions: Decisions, rows: Mapping[str, Row]
) -> list[ConfirmedDifference]:
    """The confirmed differences with their causes, and what each side comes to."""
    found = [
        Finding(
            source_id=suspect.source_id,
            kind=DifferenceKind(judgement.outcome.value),
            there_modified_at=candidate.modified_at if candidate else None,
            row=rows.get(suspect.source_id),
        )
        for suspect, judgement, candidate in decisions.confirmed
    ]
    changed_here = changed_by_others(session, entity, [each.source_id for each in found])
    explanations = causes.explain(session, entity, found, changed_here=changed_here)
    confirmed = []
    for suspect, judgement, candidate in decisions.confirmed:
        key = suspect.source_id
        explanation, row = explanations[key], rows.get(key)
        confirmed.append(
            ConfirmedDifference(
                source_id=key,
                kind=DifferenceKind(judgement.outcome.value),
                fields=history.spell_changes(entity, judgement.changes),
                cause=explanation.cause,
                explanation=explanation.text,
                since=explanation.since,
                hash_here=content_hash(entity, key, row) if row and row["deleted_at"] is None else None,
                hash_there=content_hash(entity, key, _content(candidate)) if candidate else None,
            )
        )
    return confirmed


def _content(candidate: Candidate) -> dict[str, Any]:
    return {**candidate.values, **candidate.lines}


def _store_equal(
    session: Session,
    entity: Entity,
    decisions: Decisions,
    states: Mapping[str, RowState],
    list_hashes: Mapping[str, bytes | None],
) -> None:
    """What was read whole and is equal is proven, as long as neither side moves."""
    keys = [key for key in decisions.equal if key in decisions.candidates]
    if not keys:
        return
    proofs = []
    for key in keys:
        candidate, digest = decisions.candidates[key], states[key].digest
        if digest is not None:
            content = content_hash(entity, key, _content(candidate))
            proofs.append(Proof(key, list_hashes[key], digest, content, is_detailed=True))
    store_proofs(session, entity, proofs)
