"""A comparison says equal only of what it has seen on both sides."""

import pytest

from tests.support.comparing import compare, differences, load_all
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def loaded(synced: World) -> World:
    """The whole organisation, mirrored."""
    load_all(synced)
    return synced


def test_a_mirror_that_is_right_is_proven_equal_by_its_lists(loaded: World, standin: StandIn) -> None:
    standin.calls.clear()
    comparison = compare(loaded)
    assert differences(loaded, comparison) == []
    assert (comparison["state"], comparison["agreement"], comparison["score"]) == ("completed", "equal", 100)
    # One call a page, and details only where lists do not show every change: prices, stock by location, locations.
    details = [path for path in standin.calls if path.rsplit("/", 1)[-1].isdigit() or path.endswith("itemdetails")]
    assert len(details) == 3 + 3 + 1
    assert loaded.value("select sum(api_call_count) from tds_comparison_reports") == len(standin.calls)
