"""A mirrored organisation whose changes count as settled at once."""

import pytest

from tests.support.comparing import load_all
from tests.support.planted_faults import Ground
from tests.support.standin import StandIn
from tests.support.world import World, forget_context


@pytest.fixture
def synced(synced: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """This process's tasks on this test's database, reading a stand-in; a change counts as settled at once."""
    monkeypatch.setenv("TDS_COMPARISON_SETTLE_SECONDS", "0")
    forget_context()
    return synced


@pytest.fixture
def loaded(synced: World) -> World:
    """The whole organisation, mirrored."""
    load_all(synced)
    return synced


@pytest.fixture
def ground(loaded: World, standin: StandIn) -> Ground:
    """Where faults are planted."""
    return Ground(loaded, standin)
