"""Confirmation: decides suspects by readings of the records themselves. A difference is called one only here."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from tds_core.comparison import causes, suspect_store
from tds_core.comparison.causes import Finding
from tds_core.comparison.content_hashes import content_hash
from tds_core.comparison.list_comparison import MOVED, changed_by_others
from tds_core.comparison.record_proofs import Proof, RowState, remove_proofs, row_states, store_proofs, unmoved
from tds_core.comparison.suspect_store import ConfirmedDifference, DueSuspect
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.quality.future_timestamps import Clock
from tds_core.quality.unstorable_values import spell_exactly
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a record was read: the database's clock before and after, and how long a change may be on its way."""

    read_at: datetime
    now: datetime
    settle: timedelta


def judge(suspect: DueSuspect, candidate: Candidate | None, row: Row | None, moment: Moment) -> Judgement:
    """Compare a record as the source shows it (None: it has none) with the mirror's row (None: no row)."""
    here = row if row is not None and row["deleted_at"] is None else None
    judgement = _held_together(candidate, here)
    if judgement.outcome is Outcome.EQUAL and candidate is not None and here is not None:
        judgement = _held_to_list(suspect, candidate, here)
    if judgement.outcome in (Outcome.EQUAL, Outcome.LATER):
        return judgement
    if suspect.is_owed:
        return Judgement(Outcome.LATER, reason=OWED)
    if row is not None and row["changed_at"] > moment.read_at:
        return Judgement(Outcome.LATER, reason="the row changed while the record was read")
    # A change that has a time is as old as that; any other is no older than it was seen.
    changed_at = _changed_at(candidate, here) or suspect.found_at
    if changed_at > moment.now - moment.settle:
        return Judgement(Outcome.LATER, reason="it changed a moment ago, and a webhook may be on its way")
    return judgement


def _changed_at(candidate: Candidate | None, here: Row | None) -> datetime | None:
    """When the source says that it changed what the mirror does not have; None when it does not say."""
    if candidate is None or candidate.modified_at is None or candidate.ahead_at is not None:
        return None
    ours = here["source_modified_at"] if here else None
    return candidate.modified_at if ours is None or candidate.modified_at > ours else None


def _held_to_list(suspect: DueSuspect, candidate: Candidate, here: Row) -> Judgement:
    """What the list row of a record adds to a detail that is equal: it may be newer, or show more."""
    theirs = suspect.list_modified_at
    if theirs and candidate.modified_at and candidate.modified_at < theirs:
        return Judgement(Outcome.LATER, reason="the record was shown older than in its list row")
    unshown = {
        name: tuple(pair)
        for name, pair in suspect.fields.items()
        if name not in candidate.values and name not in candidate.lines
    }
    if not unshown:
        return Judgement(Outcome.EQUAL)
    if any(_spelled(here[name]) != pair[0] for name, pair in unshown.items()):
        return Judgement(Outcome.LATER, reason="the row changed since it was held against its list row")
    return Judgement(Outcome.DIFFERENT, unshown)


def _spelled(value: Any) -> Any:
    """A value of a column as `fields` of a suspect have it."""
    return msgspec.json.decode(spell_exactly(str(value) if type(value) is Decimal else value))


def _held_together(candidate: Candidate | None, here: Row | None) -> Judgement:
    if candidate is None:
        return Judgement(Outcome.EQUAL if here is None else Outcome.MISSING_THERE)
    if here is None:
        return Judgement(Outcome.MISSING_HERE)
    changes = differences(candidate, here)
    return Judgement(Outcome.DIFFERENT if changes else Outcome.EQUAL, changes)


@dataclass(slots=True)
class Decisions:
    """How the suspects of one batch were decided. `gone`: equal, for neither side has the record."""

    equal: list[DueSuspect] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    confirmed: list[tuple[DueSuspect, Judgement, Candidate | None]] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)

    def add(self, suspect: DueSuspect, candidate: Candidate | None, judgement: Judgement) -> None:
        """Add one decision."""
        if judgement.outcome is Outcome.EQUAL:
            self.equal.append(suspect)
            self.gone += [] if candidate else [suspect.source_id]
        elif judgement.outcome is Outcome.LATER:
            self.later[suspect.source_id] = judgement.reason
        else:
            self.confirmed.append((suspect, judgement, candidate))


def decide(
    session: Session,
    comparison_id: int,
    entity: Entity,
    due: Sequence[DueSuspect],
    reading: FetchResult,
    *,
    moment: Moment,
    clock: Clock,
) -> Decisions:
    """Decide suspects by `reading`, which was asked for after `moment.read_at`, and store what comes of it."""
    shown = partial_rows.shown_in_details(session, entity)
    ids = sorted(each.source_id for each in due)
    states = row_states(session, entity, ids)
    rows = read_rows(session, entity, ids)
    still = unmoved(session, entity, states)
    decisions = Decisions()
    for suspect in due:
        key = suspect.source_id
        try:
            if suspect.is_owed and key not in reading.records and key not in reading.missing:
                raise _UndecidedError(OWED)
            if key not in still:
                raise _UndecidedError(MOVED)
            candidate = _candidate(entity, reading, key, read_at=moment.read_at, shown=shown, clock=clock)
        except _UndecidedError as error:
            decisions.later[key] = str(error)
        else:
            decisions.add(suspect, candidate, judge(suspect, candidate, rows.get(key), moment))
    _store_equal(session, entity, decisions, states, rows)
    suspect_store.clear(session, comparison_id, entity, [each.source_id for each in decisions.equal])
    settle_seconds = moment.settle.total_seconds()
    suspect_store.postpone(session, comparison_id, entity, decisions.later, settle_seconds=settle_seconds)
    suspect_store.confirm(session, comparison_id, entity, _explained(session, entity, decisions, rows))
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
                hash_there=content_hash(entity, key, _content(candidate, row, judgement)) if candidate else None,
            )
        )
    return confirmed


def _content(candidate: Candidate, row: Row | None, judgement: Judgement) -> dict[str, Any]:
    """What the source has: what it showed, and for what it did not show the mirror's values."""
    there = {name: pair[1] for name, pair in judgement.changes.items()}
    return {**(row or {}), **candidate.values, **candidate.lines, **there}


def _store_equal(
    session: Session,
    entity: Entity,
    decisions: Decisions,
    states: Mapping[str, RowState],
    rows: Mapping[str, Row],
) -> None:
    """What was read whole and is equal is proven, as long as neither side moves; what is gone has no proof."""
    proofs = []
    for suspect in decisions.equal:
        key = suspect.source_id
        if key in rows and key not in decisions.gone and (digest := states[key].digest) is not None:
            # What details do not show, the list row showed.
            content = content_hash(entity, key, rows[key])
            proofs.append(Proof(key, suspect.list_hash, digest, content, is_detailed=True))
    store_proofs(session, entity, proofs)
    remove_proofs(session, entity, decisions.gone)
