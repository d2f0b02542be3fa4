"""The governor promises: a moment's patience, errors that cost no attempt, and no more than its part without Redis."""

import time
from collections.abc import Mapping
from typing import Any

import fakeredis
import pytest
import responses
from structlog.testing import capture_logs

from tds_core.errors import QuotaError, RateError
from tds_core.queue.retry_policy import FailureHistory, RetryOutcome, decide_retry
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.client import ZohoClient
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.limits import Admission, Call, Limits, RateLimitHeaders
from tds_core.sources.zoho.quota.local_counter import FailoverCounter, LocalCounter
from tds_core.sources.zoho.quota.redis_counter import RedisCounter
from tds_models.entities import ENTITIES

LIVE = Traffic.LIVE
INVOICE = ENTITIES["invoice"].stream


def governor(limits: Limits, server: fakeredis.FakeServer | None = None) -> Governor:
    client = fakeredis.FakeRedis(server=server or fakeredis.FakeServer())
    return Governor(limits, RedisCounter(client, limits, organization="42"))


def take(governor: Governor, traffic: Traffic = LIVE, headers: Mapping[str, str] | None = None) -> None:
    with governor.admit(api="books", traffic=traffic) as permit:
        permit.record_response(200, headers or {})


def test_a_full_minute_puts_work_off_without_costing_an_attempt() -> None:
    strict = governor(Limits(calls_per_minute=1))
    take(strict)
    with pytest.raises(RateError) as caught:
        take(strict)
    assert 50 < caught.value.after_seconds <= 60
    assert caught.value.needs_no_pause
    assert decide_retry(caught.value, FailureHistory(99), max_attempts=8, jitter=0).outcome is RetryOutcome.SNOOZE


def test_a_spent_day_puts_work_off_until_the_day_is_over() -> None:
    strict = governor(Limits(calls_per_day={"books": 1}))
    take(strict)
    with pytest.raises(QuotaError) as caught:
        take(strict)
    assert 0 < caught.value.after_seconds <= 86_400


def test_a_short_wait_is_waited_for() -> None:
    patient = governor(Limits(calls_per_minute=1, minute_seconds=0.2))
    for _ in range(3):
        take(patient)


def test_a_call_that_fails_gives_its_slot_back() -> None:
    single = governor(Limits(concurrent_calls=1))
    for _ in range(3):
        with pytest.raises(ConnectionError), single.admit(api="books", traffic=LIVE):
            raise ConnectionError
    take(single)


def test_without_limits_redis_is_not_asked() -> None:
    class Untouchable:
        def register_script(self, _: str) -> Any:
            return None

    free = Governor(Limits(), RedisCounter(Untouchable(), Limits(), organization="42"))  # type: ignore[arg-type]
    take(free)
    assert Governor(Limits()).forecast({"books": 5}).days[0].runs_out_at == {}


class Tokens:
    def current(self) -> tuple[str, str]:
        return "token", "https://api.test"

    def renew(self, refused: str) -> tuple[str, str]:
        raise AssertionError(refused)

    def is_new(self, token: str) -> bool:
        return True


def test_what_zoho_refuses_stops_the_next_call_of_any_process_before_it_is_made() -> None:
    server = fakeredis.FakeServer()
    limits = Limits(calls_per_minute=100)
    one, other = (ZohoClient(Tokens(), organization_id="42", governor=governor(limits, server)) for _ in range(2))
    with responses.RequestsMock() as zoho:
        zoho.get("https://api.test/books/v3/invoices/1", status=429, json={"code": 44, "message": "blocked"})
        first = one.read(INVOICE, ["1"]).failures["1"]
        second = other.read(INVOICE, ["1"]).failures["1"]
        assert len(zoho.calls) == 1
    assert isinstance(first, RateError)
    assert isinstance(second, RateError)
    assert first.needs_no_pause
    assert second.needs_no_pause


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def ledgers(limits: Limits, server: fakeredis.FakeServer, clock: Clock, processes: int = 4) -> FailoverCounter:
    ledger = RedisCounter(fakeredis.FakeRedis(server=server), limits, organization="42", clock=clock)
    return FailoverCounter(limits, ledger, processes=lambda: processes, clock=clock)


def admitted(found: FailoverCounter, wanted: int) -> int:
    replies = [
        found.admit(Call(f"{id(found)}-{n}-{time.monotonic_ns()}", "books", LIVE), wait_seconds=0)[1]
        for n in range(wanted)
    ]
    return sum(reply.verdict is Admission.GO for reply in replies)


def test_when_redis_goes_each_process_rests_a_minute_and_then_takes_its_part_until_it_is_back() -> None:
    server, clock = fakeredis.FakeServer(), Clock()
    limits = Limits(calls_per_minute=100, lease_seconds=1)
    crew = [ledgers(limits, server, clock) for _ in range(4)]
    assert sum(admitted(each, 30) for each in crew) == 100
    server.connected = False
    with capture_logs() as logs:
        assert sum(admitted(each, 30) for each in crew) == 0
        clock.now += 61
        assert [admitted(each, 30) for each in crew] == [25] * 4
        assert [each["event"] for each in logs] == ["quota_redis_away"] * 4
    server.connected = True
    clock.now += 6
    assert sum(admitted(each, 30) for each in crew) == 0
    clock.now += 66
    assert sum(admitted(each, 30) for each in crew) == 100


def test_a_moment_without_redis_costs_no_minute_once_it_is_back() -> None:
    server, clock = fakeredis.FakeServer(), Clock()
    found = ledgers(Limits(calls_per_minute=100), server, clock)
    admitted(found, 1)
    server.connected = False
    _, reply = found.admit(Call("x", "books", LIVE), wait_seconds=0)
    assert (reply.verdict, reply.wait_seconds) == (Admission.RATE, 5.0)
    server.connected = True
    clock.now += 5.1
    assert admitted(found, 10) == 10


def test_the_part_of_a_day_without_redis_begins_where_the_shared_count_was() -> None:
    server, clock = fakeredis.FakeServer(), Clock()
    found = ledgers(Limits(calls_per_day={"books": 100}), server, clock)
    assert admitted(found, 80) == 80
    server.connected = False
    admitted(found, 1)
    clock.now += 61
    assert admitted(found, 50) == 5


def test_what_zoho_refuses_is_heeded_without_redis_too() -> None:
    clock = Clock()
    alone = LocalCounter(Limits(calls_per_minute=100, concurrent_calls=10), processes=lambda: 1, clock=clock)
    for code, wait, verdict in ((44, 60, Admission.RATE), (1070, 60, Admission.RATE), (45, 3600, Admission.DAY)):
        call = Call(f"refused-{code}", "books", LIVE)
        assert alone.admit(call, wait_seconds=0).verdict is Admission.GO
        alone.record_response(call, 0, RateLimitHeaders(code=code))
        reply = alone.admit(Call("next", "books", LIVE), wait_seconds=0)
        assert (reply.verdict, reply.wait_seconds) == (verdict, pytest.approx(wait))
        clock.now += wait + 1
    assert alone.admit(Call("last", "books", LIVE), wait_seconds=0).verdict is Admission.GO


def test_without_any_redis_a_process_takes_its_part_and_says_so() -> None:
    with capture_logs() as logs:
        found = FailoverCounter(Limits(calls_per_minute=100), None, processes=lambda: 8)
        assert admitted(found, 50) == 12
    assert [each["event"] for each in logs] == ["quota_not_shared"]


def test_the_part_without_redis_follows_the_processes_there_are() -> None:
    clock, processes = Clock(), [2]
    limits = Limits(calls_per_minute=100, lease_seconds=1)
    found = FailoverCounter(limits, None, processes=lambda: processes[0], clock=clock)
    assert admitted(found, 60) == 50
    processes[0] = 10
    clock.now += 62
    assert admitted(found, 60) == 10


def test_a_call_of_the_day_counts_as_one_of_every_process_there_was() -> None:
    clock, processes = Clock(), [2]
    found = FailoverCounter(Limits(calls_per_day={"books": 100}), None, processes=lambda: processes[0], clock=clock)
    assert admitted(found, 30) == 30
    processes[0] = 8
    assert admitted(found, 30) == 5  # 60 and five times 8 are used
    processes[0] = 1
    assert admitted(found, 30) == 0
