"""A difference is one only when nothing is owed, nothing moved a moment ago, and both sides were seen."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tds_core.comparison.confirmation import Outcome, judge
from tds_core.records.transform import Candidate, Provenance, RecordView

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
SETTLE = timedelta(minutes=1)


def candidate(modified_at: datetime = LONG_AGO, **values: Any) -> Candidate:
    return Candidate(
        source_id="1", modified_at=modified_at, values=values, lines={}, record=b"{}", view=RecordView.DETAIL,
        provenance=Provenance("comparison"),
    )  # fmt: skip


def row(changed_at: datetime = LONG_AGO, deleted_at: datetime | None = None, **values: Any) -> dict[str, Any]:
    return {"changed_at": changed_at, "deleted_at": deleted_at, **values}


def judged(there: Candidate | None, here: dict[str, Any] | None, *, is_owed: bool = False) -> Outcome:
    read_at = NOW - timedelta(seconds=5)
    return judge(there, here, read_at=read_at, now=NOW, settle=SETTLE, is_owed=is_owed).outcome


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
