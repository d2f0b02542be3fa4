"""What unit tests share: a clock that stands until it is moved."""

from collections.abc import Iterator

import pytest
import time_machine

from tds_core.breakers import breaker, stores
from tests.support.breaker_clock import Time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    """The time of breakers, and of the Redis they are tested with."""
    with time_machine.travel(1_800_000_000.0, tick=False) as wall:
        time = Time(wall)
        for module in (breaker, stores):
            monkeypatch.setattr(module, "monotonic", lambda: time.seconds)
        yield time
