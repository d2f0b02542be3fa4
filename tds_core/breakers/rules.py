"""When a circuit opens, how long it stays open, and what it takes to close it again."""

from dataclasses import dataclass

#: The window of the failure rate moves on in so many steps.
WINDOW_STEPS = 12
#: A reopening waits up to this share longer, so that circuits that opened together are not probed together.
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of one circuit.

    It opens after `failures` failures in a row, or when at least `failure_percent` of at least `least_calls` calls
    within `window_seconds` failed. It is probed after `open_seconds`, and after twice as long for each probe that
    failed, at most `open_most_seconds`; it closes after `successes` successful probes in a row. A probe that says
    nothing for `probe_seconds` gives its right back.
    """

    failures: int = 5
    failure_percent: int = 50
    least_calls: int = 10
    window_seconds: float = 60.0
    open_seconds: float = 60.0
    open_most_seconds: float = 240.0
    successes: int = 2
    probe_seconds: float = 60.0

    @property
    def step_ms(self) -> int:
        """Milliseconds of one step of the window."""
        return max(1, round(self.window_seconds * 1000 / WINDOW_STEPS))

    def open_ms(self, reopenings: int, chance: float) -> int:
        """How many milliseconds an opening lasts that follows `reopenings` failed probes; `chance` is the jitter."""
        doubled = self.open_seconds * 2 ** min(reopenings, 30)
        return int(min(doubled, self.open_most_seconds) * 1000 * (1 + JITTER * chance))
