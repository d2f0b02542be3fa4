"""A comparison says equal only of what it has seen on both sides."""

from tests.support.comparing import compare, differences
from tests.support.planted_faults import FAULTS, Ground
from tests.support.standin import StandIn
from tests.support.world import World


def test_a_mirror_that_is_right_is_proven_equal_by_its_lists(loaded: World, standin: StandIn) -> None:
    standin.calls.clear()
    comparison = compare(loaded)
    assert differences(loaded, comparison) == []
    assert (comparison["state"], comparison["agreement"], comparison["score"]) == ("completed", "equal", 100)
    # One call a page, and details only where lists do not show every change: prices, stock by location, locations.
    details = [path for path in standin.calls if path.rsplit("/", 1)[-1].isdigit() or path.endswith("itemdetails")]
    assert len(details) == 3 + 3 + 1
    assert loaded.value("select sum(api_call_count) from tds_comparison_reports") == len(standin.calls)


def test_every_planted_fault_is_found_and_nothing_else(ground: Ground) -> None:
    expected = ground.plant_all()
    assert len(FAULTS) >= 36
    comparison = compare(ground.world)
    found = {
        (row["entity"], row["source_id"], row["kind"]): row
        for row in differences(ground.world, comparison)
        if row["state"] == "confirmed"
    }
    undecided = [row for row in differences(ground.world, comparison) if row["state"] != "confirmed"]
    assert {name for each, name in expected.items() if each not in found} == set()
    assert {each: row["fields"] for each, row in found.items() if each not in expected} == {}
    assert undecided == []
    assert comparison["agreement"] == "differs"
