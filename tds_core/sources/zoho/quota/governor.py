"""The governor: lets a call through when its class may, keeps it waiting a moment, or puts it off.

Puts the governor together from the settings.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

from tds_core.config.settings import Settings
from tds_core.errors import QuotaError, RateError, SourceError
from tds_core.observability import metrics
from tds_core.redis_client import redis_client
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota import limits as quota_limits
from tds_core.sources.zoho.quota.forecast import Forecast, forecast
from tds_core.sources.zoho.quota.limits import (
    Admission,
    AdmissionReply,
    Call,
    CallCounter,
    GivenLimits,
    Limits,
    limits_in_force,
    limits_of,
)
from tds_core.sources.zoho.quota.local_counter import FailoverCounter
from tds_core.sources.zoho.quota.redis_counter import RedisCounter
from tds_core.sources.zoho.quota.usage_snapshot import Usage, empty_usage, read_usage

# A waiter asks again at least this often, so that it is not taken for dead.
LONGEST_POLL_SECONDS = 0.25
# Work that was refused a slot is not put off for less.
LEAST_REST_SECONDS = 1.0


class Permit:
    """Permission to make one call; its holder records the response."""

    def __init__(self) -> None:
        self.headers = quota_limits.NO_HEADERS

    def record_response(self, status: int, headers: Mapping[str, str], code: int = 0) -> None:
        """Record a response: its HTTP status, its headers, and Zoho's own code, 0 without one."""
        self.headers = quota_limits.read_headers(status, headers, code)


class Governor:
    """The rate limiter of calls to one organisation. Thread-safe; may wait, so never use it inside a transaction."""

    def __init__(
        self, limits: GivenLimits, shared: RedisCounter | None = None, *, processes: Callable[[], int] = lambda: 1
    ) -> None:
        """`processes`: how many share the quota; asked while there is no shared counter."""
        self._given = limits
        self._counter = FailoverCounter(limits, shared, processes=processes)

    @property
    def _limits(self) -> Limits:
        return limits_in_force(self._given)

    @contextmanager
    def admit(self, *, api: str, traffic: Traffic) -> Iterator[Permit]:
        """Wait for permission to make one call to `api`, inside the block. Raises `RateError` or `QuotaError`.

        Errors of these kinds that leave the block get `needs_no_pause` if the shared counter knows of them.
        """
        permit = Permit()
        if not self._limits.is_set:
            yield permit
            return
        call = Call(uuid4().hex, api, traffic)
        counter, day = self._wait(call)
        try:
            yield permit
        except (RateError, QuotaError) as error:
            error.needs_no_pause = counter is self._counter.shared
            raise
        finally:
            self._counter.record_response(counter, call, day, permit.headers)

    def usage(self) -> Usage:
        """The calls used and left now. Raises `QuotaUnknownError` when the shared counter cannot be read."""
        shared = self._counter.shared
        limits = self._limits
        return read_usage(shared, limits) if shared and limits.is_set else empty_usage(limits, time.time())

    def forecast(self, backlog: Mapping[str, int]) -> Forecast:
        """How the day goes on for each API, and when `backlog` (back-fill calls still to make, by API) is done."""
        return forecast(self.usage(), self._limits, backlog)

    def _wait(self, call: Call) -> tuple[CallCounter, int]:
        """Wait until the call is admitted. Returns the counter that counted it, and the number of its day."""
        began, longest = time.monotonic(), self._limits.longest_wait(call.traffic)
        while True:
            waited = time.monotonic() - began
            counter, reply = self._counter.admit(call, wait_seconds=longest - waited)
            if reply.verdict is not Admission.WAIT:
                break
            pause = min(reply.wait_seconds, LONGEST_POLL_SECONDS)
            time.sleep(pause * (0.75 + random.random() / 2))  # noqa: S311  (jitter, not a secret)
        metrics.quota_wait_seconds.labels(call.traffic).observe(waited)
        if reply.verdict is Admission.GO:
            return counter, reply.day
        error = _refusal(call, reply)
        metrics.quota_refusals.labels(call.api, call.traffic, error.code).inc()
        raise error


def _refusal(call: Call, reply: AdmissionReply) -> SourceError:
    """The error that puts a call off; other processes need no pause for it."""
    kind, span = (QuotaError, "day") if reply.verdict is Admission.DAY else (RateError, "minute")
    message = f"{call.traffic} calls to {call.api} wait: the {span}'s quota, {reply.why}"
    error = kind(message, after_seconds=max(LEAST_REST_SECONDS, reply.wait_seconds))
    error.needs_no_pause, error.is_answer = True, False
    return error


# A slower Redis counts as unavailable.
REDIS_SECONDS = 1.0


def open_counter(settings: Settings) -> RedisCounter | None:
    """The counter all processes share; None when no Redis is set."""
    if not settings.redis_url:
        return None
    client = redis_client(settings.redis_url, timeout_seconds=REDIS_SECONDS)
    return RedisCounter(client, partial(limits_of, settings), organization=settings.zoho_organization_id)


def open_governor(settings: Settings, slots: Callable[[], int] | None = None) -> Governor:
    """The organisation's governor. Connects to Redis at the first call.

    `slots`: how many tasks the living workers run at once; without Redis each takes an equal part. Callers that make
    no calls leave it out.
    """
    alone = max(1, settings.worker_concurrency)

    def processes() -> int:
        return settings.zoho_quota_processes or (slots() if slots else alone)

    return Governor(partial(limits_of, settings), open_counter(settings), processes=processes)
