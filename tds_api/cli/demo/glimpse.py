"""What a running demo looks like at one moment: counts, rates, latency, queue, and whether both sides agree."""

import dataclasses
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tds_api.cli.demo import figures
from tds_api.cli.demo.sample import Sample, Sampler
from tds_api.cli.demo.stage import Stage
from tds_api.cli.demo.standin import call_count

SAMPLE_EVERY_SECONDS = 2.0
RECENT_SECONDS = 30
LOOKS_PER_RATE = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Glimpse:
    """One moment. Rates are over the last few looks, latency over the last half minute."""

    seconds: float
    edit_count: int
    edits_per_second: float
    events_per_second: float
    deliveries: Mapping[str, Any]
    verdicts: Mapping[str, int]
    duplicate_count: int
    rejected_count: int
    latency_ms: Mapping[str, float | None]
    queue: Mapping[str, int]
    dead_letter_count: int
    api_call_count: int
    sample: Sample

    @property
    def event_count(self) -> int:
        """Events received since the edits began."""
        return sum(self.verdicts.values())


class Watcher:
    """Looks at a running stage, and samples no more often than is cheap."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = time.monotonic()
        self._sampler = Sampler(stage)
        self._sample, self._sampled_at = Sample(), 0.0
        self._looks: list[tuple[float, int, int]] = [(self._began, 0, 0)]
        with stage.engine.connect() as connection:
            self._since = figures.clock(connection)

    def look(self) -> Glimpse:
        """The state now. Raises `SQLAlchemyError` or `RequestException` when a side does not answer."""
        state = self._stage.stand_in.state()
        edit_count = state["edits"]["edit_count"]
        with self._stage.engine.connect() as connection:
            now = figures.clock(connection)
            verdicts = figures.verdicts(connection, self._since)
            if time.monotonic() - self._sampled_at >= SAMPLE_EVERY_SECONDS:
                self._sample = self._sampler.take(connection, state["entities"])
                self._sampled_at = time.monotonic()
            rates = self._rates(edit_count, sum(verdicts.values()))
            recently = max(self._since, now - timedelta(seconds=RECENT_SECONDS))
            return Glimpse(
                seconds=time.monotonic() - self._began,
                edit_count=edit_count,
                edits_per_second=rates[0],
                events_per_second=rates[1],
                deliveries=state["deliveries"],
                verdicts=verdicts,
                duplicate_count=figures.duplicates(connection),
                rejected_count=figures.rejected(connection),
                latency_ms=figures.latency_ms(connection, since=recently, until=now),
                queue=figures.queue(connection),
                dead_letter_count=figures.dead_letters(connection),
                api_call_count=call_count(state) - self._sampler.call_count,
                sample=self._sample,
            )

    def _rates(self, edits: int, events: int) -> tuple[float, float]:
        self._looks = [*self._looks, (time.monotonic(), edits, events)][-LOOKS_PER_RATE:]
        (then, edits_then, events_then), (now, _, _) = self._looks[0], self._looks[-1]
        span = now - then
        return ((edits - edits_then) / span, (events - events_then) / span) if span else (0.0, 0.0)
