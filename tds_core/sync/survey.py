"""The survey: what list rows that show only part of a record say of what the mirror holds. It writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tds_core.sync.apply import Row
from tds_core.sync.candidate import Candidate
from tds_core.sync.decide import Outcome, decide, is_settled


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What partial list rows say of the `current` ones: what needs nothing, what changed, and what was never read."""

    current: Mapping[str, Row]
    outcomes: Mapping[str, Outcome]
    to_confirm: Sequence[Candidate]
    changed: Sequence[Candidate]
    never_read: Sequence[Candidate]


def survey(candidates: Sequence[Candidate], current: Mapping[str, Row], *, shows_changes: bool) -> Surveyed:
    """For lists that show only part of a record: tell what is confirmed by it, and what has to be read."""
    outcomes: dict[str, Outcome] = {}
    to_confirm: list[Candidate] = []
    changed: list[Candidate] = []
    never_read: list[Candidate] = []
    for candidate in candidates:
        row = current.get(candidate.source_id)
        outcome = judge(candidate, row, shows_changes=shows_changes)
        if outcome is None:
            (changed if row and row["lines_confirmed_at"] else never_read).append(candidate)
        else:
            outcomes[candidate.source_id] = outcome
            to_confirm += [candidate] if outcome is Outcome.UNCHANGED else []
    return Surveyed(current, outcomes, to_confirm, changed, never_read)


def judge(candidate: Candidate, row: Row | None, *, shows_changes: bool) -> Outcome | None:
    """What a partial list row says of `row`: unchanged, stale, or (`None`) that the record has to be read.

    A row that was read well after its last change is right, however the list spells it; one that was read in the very
    second of the change, or that only a webhook told us of, is confirmed when all that the list shows agrees. Without
    a time of change only what the list shows can tell, if it tells anything.
    """
    decision = decide(candidate, row)
    if decision.outcome is Outcome.STALE:
        return Outcome.STALE
    if row is None or row["deleted_at"] is not None or row["lines_confirmed_at"] is None or not shows_changes:
        return None
    if row["source_modified_at"] != candidate.modified_at:
        return None
    told = candidate.modified_at is not None and is_settled(row)
    return Outcome.UNCHANGED if told or decision.outcome is Outcome.UNCHANGED else None
