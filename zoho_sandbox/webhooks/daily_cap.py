"""The daily cap of webhooks an organisation may send; what comes after is lost, as at Zoho."""

from zoho_sandbox.clock import FastClock, OrgClock

_DAY_SECONDS = 86_400


class DailyCap:
    """Counts admissions in the organisation's day. A `limit` of 0 admits all. Used with the world locked."""

    def __init__(self, limit: int, clock: OrgClock, windows: FastClock) -> None:
        self.limit = limit
        self._clock = clock
        self._now = windows
        self._day = 0
        self._count = 0

    def admits(self) -> bool:
        self._roll()
        if self.limit and self._count >= self.limit:
            return False
        self._count += 1
        return True

    def used(self) -> int:
        self._roll()
        return self._count

    def _roll(self) -> None:
        now = self._now()
        if now >= self._day + _DAY_SECONDS:
            self._day = self._clock.midnight(now)
            self._count = 0
