"""A thread that edits at a steady rate, returning again and again to a few favourite records."""

import random
import threading
import time
from collections import Counter
from typing import Any

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.edits.edit_kinds import (
    ADDITIONS,
    REMOVALS,
    UPDATES,
    USUAL_MIX,
    make_addition,
    make_removal,
    make_update,
)
from zoho_sandbox.edits.record_picking import random_record
from zoho_sandbox.record import Record
from zoho_sandbox.world import World

HOT_RECORDS = 20
_HOT_SHARE = 0.4
# Now and then the record just edited is edited again at once: same second, same modified time, other content.
_AGAIN_SHARE = 0.08
_BEHIND_SECONDS_MAX = 1.0


class EditStream:
    """Starts, stops and counts a stream of edits."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._control = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._random = random.Random(seed)
        self._names: list[str] = list(USUAL_MIX)
        self._weights: list[float] = list(USUAL_MIX.values())
        self._hot: dict[str, list[str]] = {}
        self._last: dict[str, str] = {}
        self.rate_per_second = 0.0
        self.counts: Counter[str] = Counter()

    def start(
        self,
        rate_per_second: float,
        mix: dict[str, float] | None = None,
        seed: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Edit `rate_per_second` times a second until stopped, or for `seconds`. ValueError for an unknown edit."""
        wanted = mix or USUAL_MIX
        if unknown := set(wanted) - set(USUAL_MIX):
            raise ValueError(f"unknown edits {sorted(unknown)}; known are {', '.join(USUAL_MIX)}")
        if rate_per_second <= 0 or min(wanted.values()) < 0 or sum(wanted.values()) <= 0:
            raise ValueError("the rate and the mix must be above nought")
        self.stop()
        with self._control:
            self._names, self._weights = list(wanted), list(wanted.values())
            self._random = random.Random(self._seed if seed is None else seed)
            self._hot, self._last, self.counts = {}, {}, Counter()
            self.rate_per_second = rate_per_second
            self._stopping = threading.Event()
            arguments = (self._stopping, rate_per_second, seconds)
            self._thread = threading.Thread(target=self._run, args=arguments, name="edit-stream", daemon=True)
            self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Stop after the edit at hand; answers what was done."""
        with self._control:
            if self._thread is not None:
                self._stopping.set()
                self._thread.join()
                self._thread = None
        return self.state()

    def state(self) -> dict[str, Any]:
        running = self._thread is not None and self._thread.is_alive()
        counts = dict(self.counts)
        return {
            "running": running,
            "rate_per_second": self.rate_per_second,
            "edit_count": sum(counts.values()) - counts.get("refused", 0),
            "counts": counts,
        }

    def step(self) -> None:
        """Make one edit of the mix."""
        rng = self._random
        name = rng.choices(self._names, self._weights)[0]
        with self._world.lock:
            try:
                record = self._make(rng, name)
            except RefusalError:
                record = None
        self.counts[name if record is not None else "refused"] += 1

    def _run(self, stopping: threading.Event, rate_per_second: float, seconds: float | None) -> None:
        started_at = due_at = time.monotonic()
        while not stopping.is_set():
            now = time.monotonic()
            if seconds is not None and due_at - started_at >= seconds:
                return
            if due_at > now:
                stopping.wait(due_at - now)
                continue
            # A stream that could not keep up does not make up for more than a moment.
            due_at = max(due_at, now - _BEHIND_SECONDS_MAX) + 1 / rate_per_second
            self.step()

    def _make(self, rng: random.Random, name: str) -> Record | None:
        if name in ADDITIONS:
            return make_addition(self._world, rng, name)
        if name in REMOVALS:
            return make_removal(self._world, rng, name)
        _weight, collection, _payload = UPDATES[name]
        record = self._pick(rng, collection)
        if record is None:
            return None
        self._last[collection] = record.id
        return make_update(self._world, rng, name, record)

    def _pick(self, rng: random.Random, name: str) -> Record | None:
        """The last one again, a favourite, or any."""
        records = self._world.collections[name].records
        if rng.random() < _AGAIN_SHARE and self._last.get(name) in records:
            return records[self._last[name]]
        if rng.random() >= _HOT_SHARE:
            return random_record(self._world, rng, name)
        hot = self._hot.setdefault(name, [])
        if len(hot) < HOT_RECORDS:
            record = random_record(self._world, rng, name)
            if record is not None:
                hot.append(record.id)
            return record
        place = rng.randrange(HOT_RECORDS)
        if hot[place] not in records:
            fresh = random_record(self._world, rng, name)
            hot[place] = fresh.id if fresh is not None else hot[place]
        return records.get(hot[place])
