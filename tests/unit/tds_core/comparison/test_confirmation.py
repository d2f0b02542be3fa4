"""A difference is one only when nothing is owed, nothing moved a moment ago, and both sides were seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tds_core.comparison.confirmation import Moment, Outcome, judge
from tds_core.comparison.suspect_store import DueSuspect
from tds_core.records.transform import Candidate, Provenance, RecordView
from tds_models.comparison import DifferenceKind

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
BEFORE = LONG_AGO - timedelta(days=1)
SETTLE = timedelta(minutes=1)


def candidate(modified_at: datetime = LONG_AGO, **values: Any) -> Candidate:
    return Candidate(
        source_id="1", modified_at=modified_at, values=values, lines={}, record=b"{}", view=RecordView.DETAIL,
        provenance=Provenance("comparison"),
    )  # fmt: skip


def row(changed_at: datetime = LONG_AGO, deleted_at: datetime | None = None, **values: Any) -> dict[str, Any]:
    return {"changed_at": changed_at, "deleted_at": deleted_at, "source_modified_at": BEFORE, **values}


def judged(
    there: Candidate | None,
    here: dict[str, Any] | None,
    *,
    is_owed: bool = False,
    found_at: datetime = LONG_AGO,
    list_modified_at: datetime | None = None,
    fields: dict[str, Any] | None = None,
) -> Outcome:
    suspect = DueSuspect(
        source_id="1", kind=DifferenceKind.DIFFERENT, found_at=found_at, list_hash=None,
        list_modified_at=list_modified_at, fields=fields or {}, is_owed=is_owed,
    )  # fmt: skip
    moment = Moment(read_at=NOW - timedelta(seconds=5), now=NOW, settle=SETTLE)
    return judge(suspect, there, here, moment).outcome


@pytest.mark.parametrize(
    ("there", "here", "outcome"),
    [
        (candidate(name="a"), row(name="a"), Outcome.EQUAL),
        (candidate(name="a"), row(name="b"), Outcome.DIFFERENT),
        (candidate(name="a"), None, Outcome.MISSING_HERE),
        (candidate(name="a"), row(deleted_at=LONG_AGO, name="a"), Outcome.MISSING_HERE),
        (None, row(name="a"), Outcome.MISSING_THERE),
        (None, None, Outcome.EQUAL),
        (None, row(deleted_at=LONG_AGO), Outcome.EQUAL),
    ],
)
def test_both_sides_at_rest(there: Candidate | None, here: dict[str, Any] | None, outcome: Outcome) -> None:
    assert judged(there, here) is outcome
    later = outcome if outcome is Outcome.EQUAL else Outcome.LATER
    assert judged(there, here, is_owed=True) is later


def test_a_change_of_a_moment_ago_is_looked_at_again() -> None:
    assert judged(candidate(NOW - SETTLE / 2, name="a"), row(name="b")) is Outcome.LATER
    assert judged(candidate(NOW - SETTLE * 2, name="a"), row(name="b")) is Outcome.DIFFERENT
    assert judged(candidate(name="a"), row(changed_at=NOW, name="b")) is Outcome.LATER
    assert judged(None, row(changed_at=NOW, name="b")) is Outcome.LATER


def test_a_difference_without_a_time_is_looked_at_twice() -> None:
    """A deletion, or a change that left the time as it was, may have happened in the moment it was seen."""
    seen = NOW - SETTLE / 2
    assert judged(None, row(name="b"), found_at=seen) is Outcome.LATER
    assert judged(candidate(BEFORE, name="a"), row(name="b"), found_at=seen) is Outcome.LATER
    ahead = replace(candidate(NOW, name="a"), ahead_at=NOW + timedelta(days=1))
    assert judged(ahead, row(name="b"), found_at=seen) is Outcome.LATER
    assert judged(ahead, row(name="b")) is Outcome.DIFFERENT
    assert judged(None, row(name="b")) is Outcome.MISSING_THERE


def test_a_detail_that_is_older_or_shows_less_does_not_clear_what_the_list_showed() -> None:
    shown = {"name": ["a", "b"]}
    stale = candidate(BEFORE, name="a")
    assert judged(stale, row(name="a"), fields=shown, list_modified_at=LONG_AGO) is Outcome.LATER
    assert judged(candidate(sku="1"), row(name="a", sku="1"), fields=shown) is Outcome.DIFFERENT
    assert judged(candidate(sku="1"), row(name="b", sku="1"), fields=shown) is Outcome.LATER
    assert judged(candidate(name="a"), row(name="a"), fields=shown, list_modified_at=LONG_AGO) is Outcome.EQUAL
