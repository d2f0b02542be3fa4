"""Settings of healing: dead letters that are retried, auto-healing, and circuit breakers."""

import dataclasses

from tds_core.config import declaration as d
from tds_core.config import sources as env


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealingSettings:
    """A part of `tds_core.config.settings.Settings`."""

    revive_per_minute: int = d.letter(
        "TDS_REVIVE_PER_MINUTE", "integer", 60, "Letters of a batch retried in a minute.", env.whole(1, 60_000)
    )
    revive_after_seconds: float = d.letter(
        "TDS_REVIVE_AFTER_SECONDS", "seconds", 86_400.0, "So long after it died a letter is retried by itself.", d.MONTH
    )
    revive_times: int = d.letter(
        "TDS_REVIVE_TIMES", "integer", 3, "So often at most; then it waits for a person.", env.whole(0, 100)
    )
    revive_at_once: int = d.letter(
        "TDS_REVIVE_AT_ONCE", "integer", 50, "So many in one cycle of the timetable.", d.CALLS
    )

    auto_healing_enabled: bool = d.heal(
        "AUTO_HEALING_ENABLED", "yes/no", True, "Heal by itself; off, only what a person asks for is healed."
    )
    deaf_seconds: float = d.heal(
        "TDS_DEAF_SECONDS", "seconds", 60.0, "A worker that takes up nothing for so long is ended; 0: never.", d.DAY
    )
    depth_warning: int = d.heal("TDS_DEPTH_WARNING", "integer", 1000, "More work items are a warning.", d.CALLS)
    depth_critical: int = d.heal("TDS_DEPTH_CRITICAL", "integer", 5000, "More work items are critical.", d.CALLS)

    circuit_breaker_enabled: bool = d.breaker(
        "CIRCUIT_BREAKER_ENABLED", "yes/no", True, "Refuse calls while a circuit is open; off, every call is made."
    )
    breaker_failures: int = d.breaker(
        "TDS_BREAKER_FAILURES", "integer", 5, "Failures in a row that open a circuit.", env.whole(1, 1000)
    )
    breaker_failure_percent: int = d.breaker(
        "TDS_BREAKER_FAILURE_PERCENT", "integer", 50, "Share of failed calls that opens it.", env.whole(1, 100)
    )
    breaker_least_calls: int = d.breaker(
        "TDS_BREAKER_LEAST_CALLS", "integer", 10, "Calls in the window before that share counts.", env.whole(1, 10_000)
    )
    breaker_window_seconds: float = d.breaker(
        "TDS_BREAKER_WINDOW_SECONDS", "seconds", 60.0, "The window the share is taken of.", env.whole(1, 3600)
    )
    breaker_open_seconds: float = d.breaker(
        "TDS_BREAKER_OPEN_SECONDS", "seconds", 60.0, "To the first probe; doubles with each that fails.",
        env.whole(1, 3600),
    )  # fmt: skip
    breaker_open_most_seconds: float = d.breaker(
        "TDS_BREAKER_OPEN_MOST_SECONDS", "seconds", 240.0, "The longest time between two probes.", d.LONG
    )
    breaker_successes: int = d.breaker(
        "TDS_BREAKER_SUCCESSES", "integer", 2, "Successful probes in a row that close it.", env.whole(1, 100)
    )
    breaker_probe_seconds: float = d.breaker(
        "TDS_BREAKER_PROBE_SECONDS", "seconds", 60.0, "A silent probe is given up; longer than any call takes.",
        env.whole(1, 3600),
    )  # fmt: skip
