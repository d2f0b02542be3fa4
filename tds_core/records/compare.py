"""Compare: decides what one candidate does to one mirror row, without clock, session or network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tds_core.protection_switches import Protection, is_off
from tds_core.records.transform import ABSENT, FORCED, Candidate, RecordView
from tds_models.entities.field_values import is_nothing, plain_number


class RowOutcome(StrEnum):
    """The outcome of a candidate."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    STALE = "stale"
    DELETED = "deleted"
    RESTORED = "restored"
    REFETCH = "look_again"  # cannot be decided here: read the record from the source


#: Outcomes that write a new version of the row.
WRITES = frozenset({RowOutcome.CREATED, RowOutcome.UPDATED, RowOutcome.DELETED, RowOutcome.RESTORED})


#: A reading this long after a change saw all that its second brought, also when clocks are apart.
SETTLES_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome and what it changes: field → (before, after). `touch`: the row's standing moves, its content not."""

    outcome: RowOutcome
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    touch: bool = False


def decide(candidate: Candidate, current: Mapping[str, Any] | None) -> Decision:
    """What `candidate` does to `current` (the mirror row with its lines, or `None`).

    Never backwards: an older record changes nothing. Sources stamp changes in whole seconds, so two states of one
    record can carry the same time; then a webhook's body proves nothing, and a record we read wins only if the row
    was not changed since we asked for it. A time the source's clock has not come to is no evidence, of either: a
    body is looked up, and what was read counts as of when it was read. What a person has read by force may be older.
    """
    if candidate.gone:
        return _decide_gone(candidate, current)
    if current is None:
        return Decision(RowOutcome.CREATED, _news(candidate))
    overtaken = _is_overtaken(candidate, current)
    if current["deleted_at"] is not None:
        return Decision(RowOutcome.REFETCH if overtaken else RowOutcome.RESTORED, differences(candidate, current))
    return _decide_live(candidate, current, overtaken)


def _decide_live(candidate: Candidate, current: Mapping[str, Any], overtaken: bool) -> Decision:
    age = _compare_times(candidate, current)
    is_forced = candidate.provenance.origin == FORCED and candidate.view is RecordView.DETAIL
    if candidate.view is RecordView.BODY and (
        is_ahead(candidate, candidate.modified_at) or is_ahead(candidate, current["source_modified_at"])
    ):
        return Decision(RowOutcome.REFETCH)  # one of the two times is no evidence
    if age < 0 and not is_forced and not is_undated(current):
        return Decision(RowOutcome.STALE)
    if age <= 0 and is_undated(current) and not is_forced:
        if candidate.view is RecordView.BODY or overtaken:
            return Decision(RowOutcome.REFETCH)
        age = 1
    changes = differences(candidate, current)
    if not changes:
        return Decision(RowOutcome.UNCHANGED, touch=age > 0 or (age == 0 and _confirms(candidate, current)))
    if age <= 0 and overtaken:
        return Decision(RowOutcome.REFETCH)
    return Decision(RowOutcome.UPDATED, changes)


def _decide_gone(candidate: Candidate, current: Mapping[str, Any] | None) -> Decision:
    if current is None:
        return Decision(RowOutcome.DELETED, _news(candidate))
    if current["deleted_at"] is not None:
        return Decision(RowOutcome.UNCHANGED)
    return Decision(RowOutcome.REFETCH if _is_overtaken(candidate, current) else RowOutcome.DELETED)


def _is_overtaken(candidate: Candidate, current: Mapping[str, Any]) -> bool:
    """Whether the row was changed since the candidate was asked for; nobody knows when a webhook's body was."""
    return bool(candidate.read_at is None or candidate.read_at <= current["changed_at"])


def _compare_times(candidate: Candidate, current: Mapping[str, Any]) -> int:
    """-1 older, 0 not to be told apart, 1 newer."""
    ours, theirs = current["source_modified_at"], candidate.modified_at
    if theirs is None:
        return 0
    if ours is None or is_off(Protection.GUARD) or is_ahead(candidate, ours):
        return 1
    return int(theirs > ours) - int(theirs < ours)


def is_ahead(candidate: Candidate, moment: datetime | None) -> bool:
    """Whether the source's own clock has not come to `moment`, so that nothing can have changed then."""
    return bool(moment and candidate.clock and candidate.clock.is_behind(moment))


def is_undated(current: Mapping[str, Any]) -> bool:
    """Whether the row's time of change is that of our reading, since the source named one that was yet to come.

    A time before it is then no older: the source may have put right what it said.
    """
    stated, ours = current.get("source_record_at"), current["source_modified_at"]
    return bool(stated and ours and stated > ours)


def resets_time(candidate: Candidate, current: Mapping[str, Any]) -> bool:
    """Whether the row's time of change is left for the candidate's, though that may lie before it."""
    is_forced = candidate.provenance.origin == FORCED
    return is_forced or is_undated(current) or is_ahead(candidate, current["source_modified_at"])


def _confirms(candidate: Candidate, current: Mapping[str, Any]) -> bool:
    """Whether this reading tells the row something it did not know about itself.

    A row that waits to be seen whole waits no longer once a detail was read, whether it brought news or not.
    """
    if candidate.view is RecordView.BODY:
        return False
    if candidate.view is RecordView.DETAIL and current.get("lines_confirmed_at", ABSENT) is None:
        return True
    return not is_settled(current) or (
        candidate.list_hash is not None and candidate.list_hash != bytes(current["list_hash"] or b"")
    )


def is_settled(current: Mapping[str, Any]) -> bool:
    """Whether the row was read so late that its modification time cannot hide another change in the same second."""
    modified_at, confirmed_at = current["source_modified_at"], current["confirmed_at"]
    return bool(confirmed_at and (modified_at is None or confirmed_at - modified_at >= SETTLES_AFTER))


def _content(candidate: Candidate) -> dict[str, Any]:
    return {**candidate.values, **candidate.lines}


def _news(candidate: Candidate) -> dict[str, tuple[Any, Any]]:
    """What a first version brings. Empty fields say nothing; leaving them out halves its entry in the trail."""
    return {name: (None, value) for name, value in _content(candidate).items() if value is not None}


def differences(candidate: Candidate, current: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields and lines of `candidate` that differ from `current`: (before, after)."""
    return {name: (current[name], value) for name, value in _content(candidate).items() if differ(current[name], value)}


def differ(before: Any, after: Any) -> bool:
    """Whether two stored values differ: lines in their order, nested values in their canonical spelling."""
    return bool(before != after) and canonical(before) != canonical(after)


def canonical(value: Any) -> Any:
    """A stored value in one spelling: a number as text; empty members and values are left out."""
    # Most values are of these types, and whether something is a mapping takes longer to find out.
    if value is None or type(value) is str:
        return None if is_nothing(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return plain_number(Decimal(value))
    if isinstance(value, Mapping):
        members = {key: each for key, member in value.items() if (each := canonical(member)) is not None}
        return members or None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical(each) for each in value] or None
    return None if is_nothing(value) else value
