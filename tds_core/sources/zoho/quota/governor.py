"""The governor: lets a call through when its class may, keeps it waiting a moment, or puts it off.

Puts the governor together from the settings.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from tds_core.config.settings import Settings
from tds_core.errors import QuotaError, RateError, SourceError
from tds_core.observability import metrics
from tds_core.redis_client import redis_client
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota import limits as quota_limits
from tds_core.sources.zoho.quota.forecast import Forecast, forecast
from tds_core.sources.zoho.quota.limits import Admission, AdmissionReply, Call, CallCounter, Limits, limits_of
from tds_core.sources.zoho.quota.local_counter import FailoverCounter
from tds_core.sources.zoho.quota.redis_counter import RedisCounter
from tds_core.sources.zoho.quota.usage import Usage, empty_usage, read_usage

# A waiter asks again at least this often, so that it is not taken for dead.
LONGEST_POLL_SECONDS = 0.25
# Work that was refused a slot is not put off for less.
LEAST_REST_SECONDS = 1.0


class Permit:
    """Leave to make one call. Whoever holds it says what came back."""

    def __init__(self) -> None:
        self.told = quota_limits.NOTHING

    def answered(self, status: int, headers: Mapping[str, str], code: int = 0) -> None:
        """An answer came: its HTTP status, its headers, and Zoho's own code when there is one."""
        self.told = quota_limits.read(status, headers, code)


class Governor:
    """Admits calls to one organisation. Safe for threads and processes; not to be used inside a transaction."""

    def __init__(self, limits: Limits, shared: RedisCounter | None = None, *, processes: int = 1) -> None:
        """`processes`: how many are expected to ask, for when there are no shared ledger."""
        self._limits = limits
        self._ledgers = FailoverCounter(limits, shared, processes=processes)

    @contextmanager
    def admit(self, *, api: str, traffic: Traffic) -> Iterator[Permit]:
        """Make one call to `api` inside the block. Raises RateError or QuotaError when it has to be put off.

        Errors of these kinds that leave the block get `needs_no_pause` when all processes know already.
        """
        permit = Permit()
        if not self._limits.exist:
            yield permit
            return
        call = Call(uuid4().hex, api, traffic)
        ledger, day = self._wait(call)
        try:
            yield permit
        except (RateError, QuotaError) as error:
            error.needs_no_pause = ledger is self._ledgers.shared
            raise
        finally:
            self._ledgers.answer(ledger, call, day, permit.told)

    def usage(self) -> Usage:
        """What is used and what is left now. Raises QuotaUnknownError when the shared ledger cannot be read."""
        shared = self._ledgers.shared
        return read_usage(shared, self._limits) if shared else empty_usage(self._limits, time.time())

    def forecast(self, backlog: Mapping[str, int]) -> Forecast:
        """How the day goes on for each API, and when `backlog` (back-fill calls still to make, by API) is done."""
        return forecast(self.usage(), self._limits, backlog)

    def _wait(self, call: Call) -> tuple[CallCounter, int]:
        """Wait for the call's turn. Returns the ledger that counted it, and its day."""
        began, patience = time.monotonic(), self._limits.patience(call.traffic)
        while True:
            waited = time.monotonic() - began
            ledger, reply = self._ledgers.admit(call, wait_seconds=patience - waited)
            if reply.verdict is not Admission.WAIT:
                break
            pause = min(reply.wait_seconds, LONGEST_POLL_SECONDS)
            time.sleep(pause * (0.75 + random.random() / 2))  # noqa: S311  (jitter, not a secret)
        metrics.quota_wait_seconds.labels(call.traffic).observe(waited)
        if reply.verdict is Admission.GO:
            return ledger, reply.day
        error = _refusal(call, reply)
        metrics.quota_refusals.labels(call.api, call.traffic, error.code).inc()
        raise error


def _refusal(call: Call, reply: AdmissionReply) -> SourceError:
    """The error that puts a call off; nobody else needs to hear of it."""
    kind, span = (QuotaError, "day") if reply.verdict is Admission.DAY else (RateError, "minute")
    said = f"{call.traffic} calls to {call.api} wait: the {span}'s quota, {reply.why}"
    error = kind(said, after_seconds=max(LEAST_REST_SECONDS, reply.wait_seconds))
    error.needs_no_pause, error.is_answer = True, False
    return error


# A Redis that is slower than this is as good as away.
REDIS_SECONDS = 1.0


def open_counter(settings: Settings) -> RedisCounter | None:
    """The ledger all processes share; `None` when no Redis is set, or nothing is limited."""
    limits = limits_of(settings)
    if not settings.redis_url or not limits.exist:
        return None
    client = redis_client(settings.redis_url, timeout_seconds=REDIS_SECONDS)
    return RedisCounter(client, limits, organization=settings.zoho_organization_id)


def open_governor(settings: Settings) -> Governor:
    """The organisation's governor. It asks Redis for nothing before the first call."""
    processes = settings.zoho_quota_processes or max(1, settings.workers * settings.worker_concurrency)
    return Governor(limits_of(settings), open_counter(settings), processes=processes)
