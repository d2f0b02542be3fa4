"""A mirrored organisation whose changes count as settled at once."""

import pytest

from tests.support.comparing import load_all
from tests.support.planted_faults import Ground
from tests.support.standin import StandIn
from tests.support.world import World, forget_context


@pytest.fixture
def loaded(synced: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The whole organisation, mirrored."""
    monkeypatch.setenv("TDS_COMPARISON_SETTLE_SECONDS", "0")
    forget_context()
    load_all(synced)
    return synced


@pytest.fixture
def ground(loaded: World, standin: StandIn) -> Ground:
    """Where faults are planted."""
    return Ground(loaded, standin)
