"""A whole organisation comes over, comes over again without a trace, and is caught up with after an hour of edits."""

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import full_sync

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """All entities in a small size: two full syncs, 300 edits without a webhook, and an incremental one."""
    yield full_sync.measure("small", edits=300)


@pytest.mark.parametrize("sync", ["first", "second", "hour"])
def test_every_record_and_line_is_equal_to_the_source_s_own(figures: dict[str, Any], sync: str) -> None:
    assert figures[f"{sync}_records"] > 200
    assert figures[f"{sync}_lines"] > 300
    assert (figures[f"{sync}_differences"], figures[f"{sync}_owed"]) == (0, 0)


def test_a_second_full_sync_writes_no_history(figures: dict[str, Any]) -> None:
    assert figures["second_history_entries"] == 0


def test_no_call_is_made_twice_for_what_one_can_tell(figures: dict[str, Any]) -> None:
    assert figures["hour_edits"] > 250
    assert figures["hour_calls_to_least"] <= 1.2, figures
