"""Faults of the API itself: calls that fail by appointment (the next N) or by chance."""

import random
import threading
from dataclasses import asdict, dataclass, replace
from typing import Any

KINDS = (
    *("error_500", "html_502", "html_503", "html_504", "truncated", "slow_body", "reset", "delay"),
    *("rate_minute", "rate_day", "concurrency", "unauthorized", "not_associated", "no_page_context"),
    *("listing_cut", "listing_empty", "listing_halved"),
    *("refusal", "no_record", "other_record", "padded", "filter_ignored"),
)


@dataclass
class Appointment:
    """The next `count` calls whose path starts with `path_prefix` fail as `kind` says; with 0 all, until cleared.

    The kinds named after listings meet list calls only, from page `page` on. A `refusal` is answered with `status`,
    `code` and `message`; what is `padded` grows by `mib` for every 200 rows that were asked for.
    """

    kind: str
    count: int = 1
    path_prefix: str = ""
    seconds: float = 1.0
    page: int = 1
    status: int = 200
    code: int = 57
    message: str = "You are not authorized to perform this operation"
    mib: int = 65

    def meets(self, path: str, page: int | None) -> bool:
        """Whether a call is one of those; `page` is None for calls that list nothing."""
        if self.kind.startswith(("listing_", "filter_")) and (page is None or page < self.page):
            return False
        return path.startswith(self.path_prefix)


class ApiFaults:
    """Decides for each call whether it fails, and how."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._queue: list[Appointment] = []
        self._random = random.Random(seed)
        self.chances: dict[str, float] = {}
        self.seconds = 1.0

    def appoint(self, appointment: Appointment) -> None:
        if appointment.kind not in KINDS:
            raise ValueError(f"unknown fault {appointment.kind!r}; known are {', '.join(KINDS)}")
        with self._lock:
            self._queue.append(appointment)

    def set_chances(self, chances: dict[str, Any]) -> None:
        """Probabilities by kind, each 0 to 1; ValueError for a kind or a number that is none."""
        read = {kind: float(chance) for kind, chance in chances.items()}
        if unknown := set(read) - set(KINDS):
            raise ValueError(f"unknown faults {sorted(unknown)}; known are {', '.join(KINDS)}")
        if not all(0 <= chance <= 1 for chance in read.values()):
            raise ValueError("a chance lies between 0 and 1")
        self.chances = {kind: chance for kind, chance in read.items() if chance}

    def draw(self, path: str, page: int | None) -> Appointment | None:
        """The fault this call meets, if any; appointments come before chance. `page` is that of a list call."""
        if not self._queue and not self.chances:
            return None
        with self._lock:
            for appointment in self._queue:
                if appointment.meets(path, page):
                    self._spend(appointment)
                    return replace(appointment)
            for kind, chance in self.chances.items():
                by_chance = Appointment(kind, seconds=self.seconds)
                if self._random.random() < chance and by_chance.meets(path, page):
                    return by_chance
        return None

    def _spend(self, appointment: Appointment) -> None:
        if appointment.count == 1:
            self._queue.remove(appointment)
        elif appointment.count > 1:
            appointment.count -= 1

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()
            self.chances = {}

    def state(self) -> dict[str, Any]:
        with self._lock:
            waiting = [asdict(appointment) for appointment in self._queue]
        return {"queue": waiting, "chances": dict(self.chances), "seconds": self.seconds}
