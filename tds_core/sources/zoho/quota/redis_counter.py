"""The counter of calls in Redis, shared by all processes."""

import math
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
import redis

from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.limits import (
    PATIENT,
    AdmissionReply,
    Call,
    GivenLimits,
    Limits,
    RateLimitHeaders,
    limits_in_force,
    next_midnight,
)
from tds_core.sources.zoho.quota.redis_scripts import ADMIT, ANSWER

#: The Redis keys of an organisation; those with `{api}` exist once per product.
KEYS = ("minute", "flying", "queue", "seen", "state", "day:{api}", "minutes:{api}", "hours:{api}")
POLL_SECONDS = 0.05
# A waiting call that has not asked again for so long is dropped.
WAITER_EXPIRY_SECONDS = 2.0

_reply = msgspec.json.Decoder(AdmissionReply)


class RedisCounter:
    """Counts calls in Redis. Its methods raise `redis.RedisError` when Redis is away.

    `organization` is part of the keys. `clock` returns epoch seconds in tests; without it Redis's own clock is used, so
    the clocks of hosts need not agree.
    """

    def __init__(
        self, client: redis.Redis, limits: GivenLimits, *, organization: str, clock: Callable[[], float] | None = None
    ) -> None:
        self.client = client
        self.clock = clock
        self._given = limits
        self._prefix = f"tds:quota:{{{organization}}}"
        self._admit, self._answer = client.register_script(ADMIT), client.register_script(ANSWER)
        self._born = ""
        #: Calls of today by API, as of the last reply.
        self.day_used: dict[str, int] = {}

    @property
    def _limits(self) -> Limits:
        return limits_in_force(self._given)

    def admit(self, call: Call, *, wait_seconds: float, unseen: bool = False) -> AdmissionReply:
        """See `CallCounter.admit`. Waiting calls queue by class, the most urgent first.

        `unseen`: this counter misses calls of the last minute, so none is admitted for a minute.
        """
        limits, traffic = self._limits, call.traffic
        document = self._document(
            call,
            born=self._born,
            unseen=unseen,
            rank=traffic.rank,
            reset_at=next_midnight(self.clock() if self.clock else time.time(), limits.zone),
            share=limits.share(traffic),
            minute_ceiling=limits.ceiling(limits.calls_per_minute, traffic),
            spread=math.ceil(limits.ceiling(limits.calls_per_minute, traffic) / 6) if traffic in PATIENT else 0,
            concurrent_ceiling=limits.ceiling(limits.concurrent_calls, traffic),
            day_limit=limits.calls_per_day.get(call.api, 0),
            lease=limits.lease_seconds,
            wait=wait_seconds,
            poll=POLL_SECONDS,
            patience=WAITER_EXPIRY_SECONDS,
        )
        reply = _reply.decode(self._run(self._admit, call.api, document))
        self._born = reply.born
        self.day_used[call.api] = reply.day_used
        return reply

    def record_response(self, call: Call, day: int, headers: RateLimitHeaders) -> None:
        """See `CallCounter.record_response`. Zoho's headers correct the counts."""
        document = self._document(
            call,
            code=headers.code,
            limit=headers.limit,
            remaining=headers.remaining,
            reset_seconds=headers.reset_seconds,
            wait_seconds=headers.wait_seconds,
            day_number=day,
            unseen_at_most=self._limits.concurrent_calls or 10,
            jitter=1 + random.random() / 2,  # noqa: S311  (not a secret)
        )
        self._run(self._answer, call.api, document)

    def _document(self, call: Call, **more: Any) -> dict[str, Any]:
        limits = self._limits
        clock = self.clock() if self.clock else None
        document = {
            "now": clock,
            "id": call.id,
            "class": call.traffic,
            "minute": limits.minute_seconds,
            "day": limits.day_seconds,
            "concurrent_limit": limits.ceiling(limits.concurrent_calls, Traffic.LIVE),
            **more,
        }
        return {name: value for name, value in document.items() if value is not None and value is not False}

    def _run(self, script: Any, api: str, document: dict[str, Any]) -> bytes:
        return script(self.keys(api), [msgspec.json.encode(document)])  # type: ignore[no-any-return]

    def keys(self, api: str) -> list[str]:
        """The Redis keys that count for `api`."""
        return [f"{self._prefix}:{each.format(api=api)}" for each in KEYS]
