"""A clock tests can move, and calls under a breaker that end as they like."""

from typing import Any

from tds_core.breakers.breaker import BreakerStatus
from tds_core.breakers.circuit import Thresholds
from tds_core.breakers.registry import Breakers
from tds_core.errors import BreakerOpenError, TransientError

NAME = "zoho.books.contacts"
RULES = Thresholds(open_seconds=60, successes=2, probe_seconds=30)


class Time:
    """A clock that stands until it is moved, for Redis and this process alike."""

    def __init__(self, wall: Any) -> None:
        self._wall, self.seconds = wall, 0.0

    def pass_by(self, seconds: float) -> None:
        self._wall.shift(seconds)
        self.seconds += seconds


def ask(breakers: Breakers, error: Exception | None = None, *, count: int = 1) -> None:
    """Make calls that end in `error`, whatever the breaker then raises in its place."""
    for _ in range(count):
        try:
            with breakers.guard(NAME):
                if error:
                    raise error
        except Exception as raised:
            assert raised is error or isinstance(raised, BreakerOpenError)


def fail(breakers: Breakers, count: int = 1) -> None:
    ask(breakers, TransientError("HTTP 502"), count=count)


def is_refused(breakers: Breakers) -> bool:
    try:
        with breakers.guard(NAME):
            return False
    except BreakerOpenError:
        return True


def state(breakers: Breakers) -> BreakerStatus:
    [found] = breakers.states()
    return found
