"""The ledger all processes share, in Redis."""

import math
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
import redis

from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.limits import AdmissionReply, Call, Limits, RateLimitHeaders, next_midnight
from tds_core.sources.zoho.quota.redis_scripts import ADMIT, ANSWER

#: The keys of an organisation; those with `{api}` are one for each product.
KEYS = ("minute", "flying", "queue", "seen", "state", "day:{api}", "minutes:{api}", "hours:{api}")
POLL_SECONDS = 0.05
# A waiter that has not asked again for so long is dead.
PATIENCE_SECONDS = 2.0

_reply = msgspec.json.Decoder(AdmissionReply)


class RedisCounter:
    """Counts calls in Redis. Its methods raise `redis.RedisError` when Redis is away.

    `organization` keeps apart what shares a Redis; `clock` gives the epoch's seconds, for tests: without it Redis'
    own clock is used, so the clocks of hosts need not agree.
    """

    def __init__(
        self, client: redis.Redis, limits: Limits, *, organization: str, clock: Callable[[], float] | None = None
    ) -> None:
        self.client = client
        self.clock = clock
        self._limits = limits
        self._prefix = f"tds:quota:{{{organization}}}"
        self._admit, self._answer = client.register_script(ADMIT), client.register_script(ANSWER)
        self._born = ""
        #: Calls of today by API, as this ledger said last.
        self.day_used: dict[str, int] = {}

    def admit(self, call: Call, *, wait_seconds: float, unseen: bool = False) -> AdmissionReply:
        """See `Ledger.admit`; a call that has to wait takes its place among its class, the urgent classes first.

        `unseen`: calls of the last minute are not in this ledger, so nothing is to be asked for a minute.
        """
        limits, traffic = self._limits, call.traffic
        asked = self._ask(
            call,
            born=self._born,
            unseen=unseen,
            rank=traffic.rank,
            reset_at=next_midnight(self.clock() if self.clock else time.time(), limits.zone),
            share=limits.share(traffic),
            minute_ceiling=limits.ceiling(limits.calls_per_minute, traffic),
            spread=math.ceil(limits.ceiling(limits.calls_per_minute, traffic) / 6)
            if traffic is Traffic.BACKFILL
            else 0,
            concurrent_ceiling=limits.ceiling(limits.concurrent_calls, traffic),
            day_limit=limits.calls_per_day.get(call.api, 0),
            lease=limits.lease_seconds,
            wait=wait_seconds,
            poll=POLL_SECONDS,
            patience=PATIENCE_SECONDS,
        )
        reply = _reply.decode(self._run(self._admit, call.api, asked))
        self._born = reply.born
        self.day_used[call.api] = reply.day_used
        return reply

    def answer(self, call: Call, day: int, told: RateLimitHeaders) -> None:
        """See `Ledger.answer`; what Zoho told corrects the ledger."""
        asked = self._ask(
            call,
            code=told.code,
            limit=told.limit,
            remaining=told.remaining,
            reset_seconds=told.reset_seconds,
            wait_seconds=told.wait_seconds,
            day_number=day,
            unseen_at_most=self._limits.concurrent_calls or 10,
            jitter=1 + random.random() / 2,  # noqa: S311  (not a secret)
        )
        self._run(self._answer, call.api, asked)

    def _ask(self, call: Call, **more: Any) -> dict[str, Any]:
        limits = self._limits
        clock = self.clock() if self.clock else None
        asked = {
            "now": clock,
            "id": call.id,
            "class": call.traffic,
            "minute": limits.minute_seconds,
            "day": limits.day_seconds,
            "concurrent_limit": limits.ceiling(limits.concurrent_calls, Traffic.LIVE),
            **more,
        }
        return {name: value for name, value in asked.items() if value is not None and value is not False}

    def _run(self, script: Any, api: str, asked: dict[str, Any]) -> bytes:
        return script(self.keys(api), [msgspec.json.encode(asked)])  # type: ignore[no-any-return]

    def keys(self, api: str) -> list[str]:
        """The names in Redis of what counts for `api`."""
        return [f"{self._prefix}:{each.format(api=api)}" for each in KEYS]
