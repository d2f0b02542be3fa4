"""Which ledger counts: the one all processes share while Redis answers, this process's own while it does not."""

import time
from collections.abc import Callable

import redis
import structlog

from tds_core.sources.zoho.quota.call import Call, Ledger, Reply, Verdict
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.quota.own import OwnLedger
from tds_core.sources.zoho.quota.shared import SharedLedger
from tds_core.sources.zoho.quota.told import Told

log = structlog.get_logger(__name__)

# How long Redis is left alone after it failed, and the most a call is put off meanwhile.
REDIS_REST_SECONDS = 5.0


class Ledgers:
    """The shared ledger with the own ones behind them. That Redis is away, and back, is said once."""

    def __init__(
        self, limits: Limits, shared: SharedLedger | None, *, processes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.shared = shared
        self._own = OwnLedger(limits, processes=processes, clock=clock)
        self._clock = clock
        self._away = False
        self._rest_until = 0.0
        self._processes = processes
        self._said_alone = False

    def admit(self, call: Call, *, wait_seconds: float) -> tuple[Ledger, Reply]:
        """Ask the ledger in force; returns it with its reply."""
        if self.shared and self._clock() >= self._rest_until:
            try:
                unseen = self._away and self._own.made_calls()
                reply = self.shared.admit(call, wait_seconds=wait_seconds, unseen=unseen)
            except redis.RedisError as error:
                self._fall_back(error)
            else:
                self._come_back()
                return self.shared, reply
        if self.shared is None and not self._said_alone:
            self._said_alone = True
            log.warning("quota_not_shared", process_count=self._processes, mend="set TDS_REDIS_URL")
        reply = self._own.admit(call, wait_seconds=wait_seconds)
        if self.shared and reply.verdict is not Verdict.GO:
            # Redis may be back long before this process's part is free again.
            brief = min(reply.wait_seconds, REDIS_REST_SECONDS)
            verdict = Verdict.RATE if brief > wait_seconds else Verdict.WAIT
            reply = Reply(verdict=verdict, wait_seconds=brief, why=reply.why)
        return self._own, reply

    def answer(self, ledger: Ledger, call: Call, day: int, told: Told) -> None:
        """Close the call where it was opened. What Redis does not hear now ends there with the call's lease."""
        try:
            ledger.answer(call, day, told)
        except redis.RedisError as error:
            self._fall_back(error)

    def _fall_back(self, error: redis.RedisError) -> None:
        self._rest_until = self._clock() + REDIS_REST_SECONDS
        if not self._away:
            self._away = True
            self._own.take_over(self.shared.day_used if self.shared else {})
            log.warning("quota_redis_away", error=type(error).__name__)

    def _come_back(self) -> None:
        if self._away:
            self._away = False
            log.info("quota_redis_back")
