"""The survey: what list rows that show only part of a record say of what the mirror holds. It writes nothing."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from tds_core.sync.apply import Row
from tds_core.sync.candidate import Candidate
from tds_core.sync.decide import Outcome, decide, is_settled, is_undated
from tds_models.entity import Entity


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What partial list rows say of the `current` ones: what needs nothing, what changed, and what was never read.

    `unclear`: rows that show a value otherwise, or not at all, though the record is said not to have changed.
    """

    current: Mapping[str, Row]
    outcomes: Mapping[str, Outcome]
    to_confirm: Sequence[Candidate]
    unclear: Sequence[Candidate]
    changed: Sequence[Candidate]
    never_read: Sequence[Candidate]


def survey(
    entity: Entity, candidates: Sequence[Candidate], current: Mapping[str, Row], *, shows_changes: bool
) -> Surveyed:
    """For lists that show only part of a record: tell what is confirmed by it, and what has to be read."""
    outcomes: dict[str, Outcome] = {}
    to_confirm: list[Candidate] = []
    unclear: list[Candidate] = []
    changed: list[Candidate] = []
    never_read: list[Candidate] = []
    for candidate in candidates:
        row = current.get(candidate.source_id)
        outcome = judge(entity, candidate, row, shows_changes=shows_changes)
        if outcome is None:
            (changed if row and row["lines_confirmed_at"] else never_read).append(candidate)
        elif outcome is Outcome.LOOK_AGAIN:
            unclear.append(candidate)
        else:
            outcomes[candidate.source_id] = outcome
            to_confirm += [candidate] if outcome is Outcome.UNCHANGED else []
    return Surveyed(current, outcomes, to_confirm, unclear, changed, never_read)


def judge(entity: Entity, candidate: Candidate, row: Row | None, *, shows_changes: bool) -> Outcome | None:
    """What a partial list row says of `row`: unchanged, stale, to look again, or (`None`) that it changed.

    A row that was read well after its last change is right, however the list spells it: where it differs, or is silent
    about a value we have, a detail decides once. One that was read in the very second of the change, or that only a
    webhook told us of, is confirmed when all that the list shows agrees. Without a time of change only what the list
    shows can tell, if it tells anything.
    """
    decision = decide(candidate, row)
    if decision.outcome is Outcome.STALE:
        return Outcome.STALE
    if row is None or row["deleted_at"] is not None or row["lines_confirmed_at"] is None or not shows_changes:
        return None
    if row["source_modified_at"] != candidate.modified_at:
        return None
    told = candidate.modified_at is not None and is_settled(row)
    if decision.outcome is not Outcome.UNCHANGED:
        return Outcome.LOOK_AGAIN if told else None
    return Outcome.LOOK_AGAIN if is_silent(entity, candidate, row) else Outcome.UNCHANGED


def is_silent(entity: Entity, candidate: Candidate, row: Row) -> bool:
    """Whether a list row says nothing of a field that lists show and `row` has a value of."""
    return any(
        each.listed and each.name not in candidate.values and row[each.name] is not None for each in entity.fields
    )


#: Doors that show all the source has to say of a record.
WHOLE = frozenset({"body", "detail"})


def untold(entity: Entity, candidates: Sequence[Candidate], current: Mapping[str, Row]) -> list[str]:
    """For lists that hold all that is declared: those whose row does not show what the mirror has.

    A value was cleared, or is not shown where it has one; or the record was seen whole and has changed since, so that
    what no list shows has become old.
    """
    rows = [(each, current[each.source_id]) for each in candidates if each.source_id in current]
    return [
        each.source_id
        for each, row in rows
        if row["deleted_at"] is None and (is_silent(entity, each, row) or _outdates(each, row))
    ]


def cleared(
    entity: Entity, candidates: Sequence[Candidate], current: Mapping[str, Row], shown: Set[str]
) -> list[Candidate]:
    """The same rows of a whole list, with no value where they are silent about one that lists alone show.

    `shown`: the keys that details are known to show; of those a detail tells.
    """
    alone = [each.name for each in entity.fields if each.listed and not each.detailed and each.key not in shown]
    silent = {each.source_id: [name for name in alone if name not in each.values] for each in candidates}
    return [
        replace(each, values={**each.values, **dict.fromkeys(silent[each.source_id])})
        if silent[each.source_id] and each.source_id in current
        else each
        for each in candidates
    ]


def _outdates(candidate: Candidate, row: Row) -> bool:
    ours, theirs = row["source_modified_at"], candidate.modified_at
    is_news = theirs is not None and (ours is None or theirs > ours or is_undated(row))
    return row["source_record_seen"] in WHOLE and is_news
