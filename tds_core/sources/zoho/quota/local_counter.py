"""The counter of one process, and the failover to it: while Redis is away each process takes an equal part."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import redis
import structlog

from tds_core.sources.zoho.quota.limits import (
    DAY_SPENT,
    MINUTE_BLOCKED,
    TOO_MANY_AT_ONCE,
    Admission,
    AdmissionReply,
    Call,
    CallCounter,
    GivenLimits,
    Limits,
    RateLimitHeaders,
    limits_in_force,
    next_midnight,
)
from tds_core.sources.zoho.quota.redis_counter import RedisCounter

CONCURRENCY_WAIT_SECONDS = 0.05
# Wait after the day's quota is used up when Zoho does not state when it resets.
UNKNOWN_RESET_SECONDS = 3600.0
PART_USED, DAY_IS_SPENT = "this process's part is used", "the source says it is spent"


class LocalCounter:
    """Counts this process's calls against one `processes`-th of every limit. Thread-safe.

    How many processes share may change: each call of the day counts as one of every process there was when it was made.
    """

    def __init__(self, limits: GivenLimits, *, processes: Callable[[], int], clock: Callable[[], float]) -> None:
        self._given = limits
        self._count_processes = processes
        self._processes = 1
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}  # by call id, until when it counts against the minute
        self._running: set[str] = set()
        self._used: Counter[str] = Counter()
        self._day_ends_at = 0.0
        self._blocked_until = 0.0
        self._spent_until: dict[str, float] = {}

    @property
    def _limits(self) -> Limits:
        return limits_in_force(self._given)

    def take_over(self, day_used: Mapping[str, int]) -> None:
        """Continue from the shared counter's counts of today; admit nothing for a minute, whose calls are unknown."""
        with self._lock:
            now = self._clock()
            self._expire(now)
            self._blocked_until = max(self._blocked_until, now + self._limits.minute_seconds)
            for api, used in day_used.items():
                self._used[api] = max(self._used[api], used)

    def made_calls(self) -> bool:
        """Whether calls admitted by this counter still count against the minute."""
        with self._lock:
            return any(until > self._clock() for until in self._until.values())

    def admit(self, call: Call, *, wait_seconds: float) -> AdmissionReply:
        """See `CallCounter.admit`."""
        processes = self._count_processes()  # which may ask the database: outside the lock
        with self._lock:
            self._processes = processes
            now = self._clock()
            self._expire(now)
            limits, traffic = self._limits, call.traffic
            spent = self._spent_until.get(call.api, 0.0)
            if spent > now:
                return AdmissionReply(verdict=Admission.DAY, wait_seconds=spent - now, why=DAY_IS_SPENT)
            day, used = limits.ceiling(limits.calls_per_day.get(call.api, 0), traffic), self._used[call.api]
            if day and used and used + processes > day:
                return AdmissionReply(verdict=Admission.DAY, wait_seconds=self._day_ends_at - now, why=PART_USED)
            wait = max(self._blocked_until - now, self._minute_wait(call, now), self._slot_wait(call))
            if wait > 0:
                verdict = Admission.WAIT if wait <= wait_seconds else Admission.RATE
                return AdmissionReply(verdict=verdict, wait_seconds=wait, why=PART_USED)
            self._until[call.id] = now + limits.lease_seconds + limits.minute_seconds
            self._running.add(call.id)
            self._used[call.api] += processes
            return AdmissionReply(verdict=Admission.GO)

    def record_response(self, call: Call, day: int, headers: RateLimitHeaders) -> None:  # noqa: ARG002 (no day numbers)
        """See `CallCounter.record_response`."""
        with self._lock:
            now = self._clock()
            self._running.discard(call.id)
            if call.id in self._until:
                self._until[call.id] = now + self._limits.minute_seconds
            if headers.code == DAY_SPENT:
                self._spent_until[call.api] = now + (headers.reset_seconds or UNKNOWN_RESET_SECONDS)
            if headers.code in (MINUTE_BLOCKED, TOO_MANY_AT_ONCE):
                block = max(self._limits.minute_seconds, headers.wait_seconds or 0)
                self._blocked_until = max(self._blocked_until, now + block)

    def _part(self, ceiling: int) -> int:
        """This process's part of a ceiling: at least 1, 0 without a limit."""
        return max(1, math.floor(ceiling / self._processes)) if ceiling else 0

    def _expire(self, now: float) -> None:
        self._until = {call: until for call, until in self._until.items() if until > now}
        self._running &= self._until.keys()
        if now >= self._day_ends_at:
            self._day_ends_at = next_midnight(now, self._limits.zone)
            self._used.clear()

    def _minute_wait(self, call: Call, now: float) -> float:
        part = self._part(self._limits.ceiling(self._limits.calls_per_minute, call.traffic))
        if not part or len(self._until) < part:
            return 0.0
        return min(sorted(self._until.values())[len(self._until) - part] - now, self._limits.minute_seconds)

    def _slot_wait(self, call: Call) -> float:
        part = self._part(self._limits.ceiling(self._limits.concurrent_calls, call.traffic))
        return CONCURRENCY_WAIT_SECONDS if part and len(self._running) >= part else 0.0


log = structlog.get_logger(__name__)

# How long a failed Redis is not asked again, and the longest a call is put off meanwhile.
REDIS_RETRY_SECONDS = 5.0


class FailoverCounter:
    """The shared counter, or this process's own while Redis is away; each change is logged once."""

    def __init__(
        self,
        limits: GivenLimits,
        shared: RedisCounter | None,
        *,
        processes: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.shared = shared
        self._local = LocalCounter(limits, processes=processes, clock=clock)
        self._clock = clock
        self._away = False
        self._retry_at = 0.0
        self._processes = processes
        self._has_warned = False

    def admit(self, call: Call, *, wait_seconds: float) -> tuple[CallCounter, AdmissionReply]:
        """Request admission from the counter in use. Returns that counter and its reply."""
        if self.shared and self._clock() >= self._retry_at:
            try:
                unseen = self._away and self._local.made_calls()
                reply = self.shared.admit(call, wait_seconds=wait_seconds, unseen=unseen)
            except redis.RedisError as error:
                self._fall_back(error)
            else:
                self._come_back()
                return self.shared, reply
        if self.shared is None and not self._has_warned:
            self._has_warned = True
            log.warning("quota_not_shared", process_count=self._processes(), mend="set TDS_REDIS_URL")
        reply = self._local.admit(call, wait_seconds=wait_seconds)
        if self.shared and reply.verdict is not Admission.GO:
            # Redis may be back long before this process's part is free again.
            brief = min(reply.wait_seconds, REDIS_RETRY_SECONDS)
            verdict = Admission.RATE if brief > wait_seconds else Admission.WAIT
            reply = AdmissionReply(verdict=verdict, wait_seconds=brief, why=reply.why)
        return self._local, reply

    def record_response(self, counter: CallCounter, call: Call, day: int, headers: RateLimitHeaders) -> None:
        """Record the response in the counter that admitted the call; without Redis its slot expires with its lease."""
        try:
            counter.record_response(call, day, headers)
        except redis.RedisError as error:
            self._fall_back(error)

    def _fall_back(self, error: redis.RedisError) -> None:
        self._retry_at = self._clock() + REDIS_RETRY_SECONDS
        if not self._away:
            self._away = True
            self._local.take_over(self.shared.day_used if self.shared else {})
            log.warning("quota_redis_away", error=type(error).__name__)

    def _come_back(self) -> None:
        if self._away:
            self._away = False
            log.info("quota_redis_back")
