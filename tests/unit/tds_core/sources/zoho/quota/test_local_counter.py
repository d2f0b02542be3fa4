"""The shared ledger promises: no more than Zoho counts in any minute, and urgent calls first."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import fakeredis
import pytest

from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota import limits as quota_limits
from tds_core.sources.zoho.quota.limits import Admission, AdmissionReply, Call, Limits
from tds_core.sources.zoho.quota.redis_counter import RedisCounter
from tds_core.sources.zoho.quota.usage_snapshot import read_usage

NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC
LIVE, OPERATOR, SCHEDULED, BACKFILL, _COMPARISON = Traffic
RESERVED = {LIVE: 0.1, OPERATOR: 0.05, SCHEDULED: 0.15}
LIMITS = Limits(calls_per_minute=100, calls_per_day={"books": 1000, "inventory": 1000}, reserved=RESERVED)


@dataclass
class Desk:
    """One process at the shared ledger, and a clock that stands until it is moved."""

    limits: Limits = LIMITS
    redis: fakeredis.FakeRedis = field(default_factory=fakeredis.FakeRedis)
    now: float = NOON
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.ledger = self.another()

    def another(self) -> RedisCounter:
        return RedisCounter(self.redis, self.limits, organization="42", clock=lambda: self.now)

    def call(self, traffic: Traffic = LIVE, api: str = "books") -> Call:
        return Call(f"call-{next(self.numbers)}", api, traffic)

    def ask(self, call: Call, wait_seconds: float = 0.0) -> AdmissionReply:
        return self.ledger.admit(call, wait_seconds=wait_seconds)

    def admitted(self, wanted: int, traffic: Traffic = LIVE, api: str = "books", answered: bool = True) -> int:
        """How many of `wanted` calls are let through now."""
        calls = [self.call(traffic, api) for _ in range(wanted)]
        through = [(each, reply) for each in calls if (reply := self.ask(each)).verdict is Admission.GO]
        for each, reply in through if answered else ():
            self.answer(each, reply)
        return len(through)

    def answer(self, call: Call, reply: AdmissionReply, status: int = 200, code: int = 0, **headers: float) -> None:
        named = {f"X-Rate-Limit-{name.capitalize()}": str(value) for name, value in headers.items()}
        self.ledger.record_response(call, reply.day, quota_limits.read_headers(status, named, code))

    def refused(self, code: int, **headers: float) -> None:
        """A call that Zoho refused."""
        call = self.call()
        reply = self.ask(call)
        assert reply.verdict is Admission.GO
        self.answer(call, reply, status=429, code=code, **headers)


@pytest.fixture
def desk() -> Desk:
    return Desk(Limits(calls_per_minute=100, reserved=RESERVED))


def test_no_window_of_a_minute_sees_more_calls_than_zoho_allows(desk: Desk) -> None:
    made_at: list[float] = []
    for _ in range(80):
        made_at += [desk.now] * desk.admitted(7)
        desk.now += 2.1
    assert len(made_at) > 250
    assert max(sum(begin <= each < begin + 60 for each in made_at) for begin in made_at) == 100


def test_a_call_counts_until_a_minute_after_its_answer_for_zoho_may_have_counted_it_late(desk: Desk) -> None:
    call = desk.call()
    reply = desk.ask(call)
    assert desk.admitted(200) == 99
    desk.now += 30
    desk.answer(call, reply)
    desk.now += 31
    assert desk.admitted(200) == 99
    desk.now += 60
    assert desk.admitted(200) == 100


@pytest.mark.parametrize(("traffic", "most"), [(LIVE, 100), (OPERATOR, 90), (SCHEDULED, 85), (BACKFILL, 70)])
def test_every_class_leaves_what_is_reserved_for_those_above_it(traffic: Traffic, most: int) -> None:
    minute = Desk(Limits(calls_per_minute=100, reserved=RESERVED))
    made = 0
    for tenth in range(6):
        minute.now = NOON + 10.01 * tenth
        made += minute.admitted(20, traffic)
    assert made == most
    day = Desk(Limits(calls_per_day={"books": 100}, reserved=RESERVED))
    assert day.admitted(200, traffic) == most
    at_once = Desk(Limits(concurrent_calls=100, reserved=RESERVED))
    assert at_once.admitted(200, traffic, answered=False) == most


def test_what_is_reserved_is_there_when_back_fill_took_all_it_may(desk: Desk) -> None:
    for tenth in range(6):
        desk.now = NOON + 10.01 * tenth
        desk.admitted(20, BACKFILL)
    assert desk.admitted(200, LIVE) == 100 - 70


def test_back_fill_flows_evenly_over_the_minute(desk: Desk) -> None:
    assert desk.admitted(200, BACKFILL) == 12
    desk.now += 10.1
    assert desk.admitted(200, BACKFILL) == 12


def test_the_products_have_a_day_each_and_one_minute_together() -> None:
    desk = Desk(Limits(calls_per_minute=100, calls_per_day={"books": 30, "inventory": 40}))
    assert (desk.admitted(100, api="books"), desk.admitted(100, api="inventory")) == (30, 40)
    desk = Desk(Limits(calls_per_minute=100, calls_per_day={"books": 80, "inventory": 80}))
    assert (desk.admitted(100, api="books"), desk.admitted(100, api="inventory")) == (80, 20)


def test_a_full_minute_says_when_it_is_free_again(desk: Desk) -> None:
    desk.admitted(100)
    desk.now += 20
    reply = desk.ask(desk.call())
    assert (reply.verdict, reply.wait_seconds) == (Admission.RATE, pytest.approx(40, abs=0.01))
    assert desk.ask(desk.call(), wait_seconds=41).verdict is Admission.WAIT


def test_who_waits_is_served_in_turn_and_the_urgent_first(desk: Desk) -> None:
    desk.admitted(69, LIVE)
    desk.now += 59
    desk.admitted(31, LIVE)
    waiting = [desk.call(SCHEDULED), desk.call(SCHEDULED), desk.call(LIVE), desk.call(OPERATOR)]
    for each in waiting:
        assert desk.ask(each, wait_seconds=5).verdict is Admission.WAIT
    assert desk.ask(desk.call(LIVE), wait_seconds=0).verdict is Admission.RATE
    desk.now += 1.1
    served = [waiting[n] for n in (3, 1, 0, 2) if desk.ask(waiting[n], wait_seconds=5).verdict is Admission.GO]
    assert served == [waiting[n] for n in (3, 1, 0, 2)]


def test_the_last_slot_goes_to_the_urgent_one_that_came_later() -> None:
    desk = Desk(Limits(concurrent_calls=1))
    first = desk.call()
    reply = desk.ask(first)
    scheduled, live = desk.call(SCHEDULED), desk.call(LIVE)
    assert desk.ask(scheduled, wait_seconds=5).verdict is Admission.WAIT
    assert desk.ask(live, wait_seconds=5).verdict is Admission.WAIT
    desk.answer(first, reply)
    assert desk.ask(scheduled, wait_seconds=5).verdict is Admission.WAIT
    assert desk.ask(live, wait_seconds=5).verdict is Admission.GO


def test_a_waiter_that_died_holds_nobody_up() -> None:
    desk = Desk(Limits(concurrent_calls=1))
    first = desk.call()
    reply = desk.ask(first)
    dead, alive = desk.call(), desk.call()
    desk.ask(dead, wait_seconds=5)
    desk.ask(alive, wait_seconds=5)
    desk.answer(first, reply)
    assert desk.ask(alive, wait_seconds=5).verdict is Admission.WAIT
    desk.now += 2.1
    assert desk.ask(alive, wait_seconds=5).verdict is Admission.GO


def test_the_slot_of_a_process_that_died_comes_back_with_the_end_of_its_lease() -> None:
    desk = Desk(Limits(concurrent_calls=2, lease_seconds=70))
    assert desk.admitted(5, answered=False) == 2
    desk.now += 69
    assert desk.admitted(5) == 0
    desk.now += 2
    assert desk.admitted(1) == 1


def test_a_block_of_the_minute_stops_every_process_and_product_for_a_minute(desk: Desk) -> None:
    desk.refused(44)
    other = desk.another()
    reply = other.admit(desk.call(LIVE, "inventory"), wait_seconds=0)
    assert (reply.verdict, reply.wait_seconds) == (Admission.RATE, pytest.approx(60))
    desk.now += 60.1
    assert other.admit(desk.call(), wait_seconds=0).verdict is Admission.GO


def test_a_refused_day_stops_its_product_until_the_reset_it_named() -> None:
    desk = Desk()
    desk.refused(45, limit=1000, remaining=0, reset=3600)
    reply = desk.ask(desk.call())
    assert (reply.verdict, reply.wait_seconds) == (Admission.DAY, pytest.approx(3601))
    assert desk.ask(desk.call(api="inventory")).verdict is Admission.GO
    desk.now += 3602
    assert desk.ask(desk.call()).verdict is Admission.GO


def test_a_refused_day_is_tried_again_hourly_while_nobody_knows_when_it_ends() -> None:
    desk = Desk()
    desk.refused(45)
    assert desk.ask(desk.call()).wait_seconds == pytest.approx(3600)


def test_too_many_at_once_halves_what_goes_at_once_for_a_while_and_a_burst_is_one_sign() -> None:
    desk = Desk(Limits(concurrent_calls=10))
    calls = [(each, desk.ask(each)) for each in [desk.call() for _ in range(10)]]
    for call, reply in calls:
        desk.answer(call, reply, status=429, code=1070)
    assert desk.admitted(20, answered=False) == 5
    desk.now += 91
    assert desk.admitted(20, answered=False) == 10


def test_the_days_figure_follows_what_zoho_tells() -> None:
    desk = Desk(Limits(calls_per_day={"books": 1000}))
    call = desk.call()
    desk.answer(call, desk.ask(call), limit=500, remaining=100, reset=7200)
    usage = read_usage(desk.ledger, desk.limits).days["books"]
    assert (usage.level.used, usage.level.limit, usage.told_limit) == (400, 500, 500)
    assert usage.resets_at.timestamp() == pytest.approx(desk.now + 7201)
    assert usage.by_class["others"] == 399
    assert desk.admitted(200) == 100


def test_calls_zoho_never_counted_are_given_back() -> None:
    desk = Desk()
    assert desk.admitted(90) == 90
    call = desk.call()
    desk.answer(call, desk.ask(call), limit=1000, remaining=990, reset=7200)
    assert read_usage(desk.ledger, desk.limits).days["books"].level.used <= 20


def test_a_larger_limit_zoho_tells_does_not_raise_the_one_that_is_set() -> None:
    desk = Desk()
    call = desk.call()
    desk.answer(call, desk.ask(call), limit=57_500, remaining=57_499, reset=7200)
    assert read_usage(desk.ledger, desk.limits).days["books"].level.limit == 1000


def test_a_day_begins_anew_at_the_zones_midnight_until_zoho_tells_otherwise() -> None:
    desk = Desk(Limits(calls_per_day={"books": 10}))
    assert desk.admitted(20) == 10
    desk.now = NOON + 12 * 3600 - 1
    assert desk.admitted(20) == 0
    desk.now += 2
    assert desk.admitted(20) == 10


def test_an_answer_of_yesterday_says_nothing_about_today() -> None:
    desk = Desk(Limits(calls_per_day={"books": 1000}))
    late = desk.call()
    reply = desk.ask(late)
    desk.now += 13 * 3600
    assert desk.admitted(3) == 3
    desk.answer(late, reply, limit=1000, remaining=0, reset=1)
    assert read_usage(desk.ledger, desk.limits).days["books"].level.used == 3


def test_after_redis_was_wiped_nothing_is_asked_for_a_minute_by_those_who_asked_before(desk: Desk) -> None:
    desk.admitted(60)
    desk.now += 1
    desk.redis.flushall()
    assert desk.ask(desk.call()).wait_seconds == pytest.approx(60)
    desk.now += 60.1
    assert desk.admitted(200) == 100


def test_the_first_call_ever_waits_for_nobody(desk: Desk) -> None:
    assert desk.ask(desk.call()).verdict is Admission.GO


def test_calls_made_without_redis_keep_everybody_still_for_a_minute(desk: Desk) -> None:
    desk.ledger.admit(desk.call(), wait_seconds=0, unseen=True)
    assert desk.another().admit(desk.call(), wait_seconds=0).wait_seconds == pytest.approx(60)
