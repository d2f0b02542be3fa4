"""Change events promise: told once committed, signed, in order for each record, again until taken, never lost."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.subscriptions import fan_out, replay, subscriptions
from tds_core.subscriptions.retry_policy import SCHEDULE
from tds_models.db import session_scope
from tds_tasks import context
from tests.support.change_events import Telling, telling
from tests.support.receiver import Receiver, receiving, slowly
from tests.support.world import World, delivery, product


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def shop(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telling]:
    with telling(world, receiver, monkeypatch) as told:
        yield told


def test_a_change_is_reported_signed_with_what_was_before_and_after(shop: Telling, world: World) -> None:
    world.deliver(delivery("product", product(rate=10)))
    world.drain("product")
    secret = shop.subscribe()
    world.deliver(delivery("product", product(second=5, rate=12.5)))
    world.drain("product")
    assert shop.deliver() == 1
    [got] = shop.receiver.got
    assert (got.body["type"], got.verified) == ("product.updated", [secret])
    told = got.body["data"]
    assert (told["entity"], told["source_id"], told["version"]) == ("product", "460000000000001", 2)
    assert told["changes"]["price"] == {"before": "10", "after": "12.5"}
    assert shop.deliveries() == [("460000000000001", 2, "delivered", 1)]
    assert (shop.owed(), shop.deliver()) == (0, 0)


def test_who_subscribes_hears_of_every_change_that_commits_afterwards(shop: Telling) -> None:
    shop.write(("before", 1))
    with Session(shop.world.engine) as writing:
        shop.write(("during", 1), session=writing)
        threading.Timer(0.3, writing.commit).start()
        shop.subscribe()  # waits for those who write
    shop.write(("after", 1))
    shop.deliver()
    assert [record for record, _ in shop.receiver.taken()] == ["after"]


def test_what_commits_behind_others_with_greater_ids_is_not_passed_over(shop: Telling) -> None:
    shop.subscribe()
    with Session(shop.world.engine) as slow:
        shop.write(("slow", 1), session=slow)
        shop.write(("quick", 1))
        shop.deliver()
        slow.commit()
    shop.deliver()
    shop.deliver()
    assert {record for record, _ in shop.receiver.taken()} == {"slow", "quick"}
    assert len(shop.receiver.got) == 2


@pytest.mark.parametrize(("wanted", "told"), [
    ({"entities": ["invoice"]}, ["i1"]), ({"kinds": ["deleted"]}, ["p3"]), ({"fields": ["name"]}, ["i1", "p2", "p3"]),
    ({"entities": ["product"], "kinds": ["updated", "deleted"]}, ["p1", "p2", "p3"]),
])  # fmt: skip
def test_only_what_is_wanted_is_reported(shop: Telling, wanted: dict[str, Any], told: list[str]) -> None:
    shop.subscribe(**wanted)
    shop.write(("i1", 1), entity="invoice")
    shop.write(("p1", 2))
    shop.write(("p2", 2), changes={"name": ["a", "b"], "price": ["1", "2"]})
    shop.write(("p3", 3), operation="deleted", changes={})
    shop.deliver()
    assert sorted(record for record, _ in shop.receiver.taken()) == told
    if "fields" in wanted:
        assert all(set(each.body["data"]["changes"]) <= {"name"} for each in shop.receiver.got)


def test_much_history_nobody_wants_is_passed_over_in_one_go(shop: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "ENTRIES_AT_ONCE", 10)
    shop.subscribe(entities=["invoice"])
    shop.write(*((f"p{number}", 1) for number in range(55)))
    shop.write(("i", 1), entity="invoice")
    assert shop.deliver() == 1


def test_the_events_of_a_record_arrive_in_order_whatever_fails(shop: Telling) -> None:
    shop.subscribe()
    jitter = random.Random(7)
    shop.receiver.answer = lambda body: 500 if jitter.random() < 0.3 else 200
    records = [f"p{number}" for number in range(12)]
    for version in range(1, 7):
        shop.write(*((record, version) for record in records))
    while shop.owed() or not shop.receiver.got:
        shop.deliver(at_once=True)
    assert shop.receiver.versions() == {record: [1, 2, 3, 4, 5, 6] for record in records}


def test_a_record_that_is_refused_holds_up_no_other(shop: Telling) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: 422 if body["data"]["source_id"] == "bad" else 200
    shop.write(("bad", 1), ("good", 1))
    shop.write(("bad", 2), ("good", 2))
    shop.deliver()
    assert shop.receiver.versions() == {"good": [1, 2]}
    assert ("bad", 1, "failing", 1) in shop.deliveries()
    wait = shop.world.value("select extract(epoch from next_attempt_at - now()) from tds_outbound_lanes")
    assert 0 < wait <= SCHEDULE[0] * 1.1
    shop.receiver.answer = lambda body: 200
    shop.deliver(at_once=True)
    assert shop.receiver.versions() == {"good": [1, 2], "bad": [1, 2]}
    assert shop.owed() == 0


def test_the_same_message_keeps_its_id_at_every_attempt(shop: Telling) -> None:
    shop.subscribe()
    shop.write(("p", 1))
    shop.receiver.answer = lambda body: 503
    shop.deliver()
    shop.receiver.answer = lambda body: 200
    shop.deliver(at_once=True)
    assert [each.status for each in shop.receiver.got] == [503, 200]
    assert len({each.id for each in shop.receiver.got}) == 1
    [(tries,)] = shop.deliveries("tries")
    assert [each["status"] for each in tries] == [503, 200]


def test_what_a_receiver_refuses_to_the_last_is_given_up_while_it_takes_others(shop: Telling) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: 422 if body["data"]["version"] == 1 else 200
    shop.write(("bad", 1), ("bad", 2))
    for attempt in range(len(SCHEDULE) + 1):
        shop.write(("good", attempt + 2))
        shop.deliver(at_once=True)
    assert ("bad", 1, "given_up", len(SCHEDULE) + 1) in shop.deliveries()
    assert shop.receiver.versions()["bad"] == [2]
    shop.receiver.answer = lambda body: 200
    with session_scope(shop.world.engine) as session:
        assert replay.replay_given_up(session, "shop")[1] == 1
    shop.deliver()
    assert [each[2] for each in shop.deliveries() if each[:2] == ("bad", 1)] == ["replayed", "delivered"]


def test_of_a_receiver_that_is_away_nothing_is_given_up_and_it_is_asked_with_one_event_at_a_time(
    shop: Telling,
) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: 500
    shop.write(*((f"p{number}", 1) for number in range(50)))
    shop.deliver()
    asked = len(shop.receiver.got)
    assert asked <= context.settings().outbound_at_once
    for _ in range(len(SCHEDULE) + 5):
        shop.deliver(at_once=True)
    assert len(shop.receiver.got) == asked + len(SCHEDULE) + 5
    assert shop.owed() == 50
    shop.receiver.answer = lambda body: 200
    shop.deliver(at_once=True)
    until = time.monotonic() + 30  # those that failed before were woken: else they would wait for hours
    while shop.owed() and time.monotonic() < until:
        shop.deliver()
    told = {record for record, _ in shop.receiver.taken()}
    assert told == {f"p{number}" for number in range(50)}, shop.deliveries("source_id, state, tries")
    assert shop.subscription()["failure_count"] == 0


def test_a_receiver_that_says_it_is_gone_is_disabled_with_a_finding_and_comes_back_by_a_persons_word(
    shop: Telling,
) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: 410
    shop.write(("p", 1))
    shop.deliver()
    assert (shop.subscription()["state"], shop.deliver(at_once=True)) == ("disabled", 0)
    [finding] = shop.world.rows("select subject, detail from tds_findings where resolved_at is null")
    assert (finding["subject"], "410" in finding["detail"]["news"]) == ("shop", True)
    shop.receiver.answer = lambda body: 200
    shop.write(("p", 2))
    with session_scope(shop.world.engine) as session:
        subscriptions.resume(session, "shop", by="test")
    shop.deliver()
    assert shop.receiver.versions() == {"p": [1, 2]}
    assert shop.world.rows("select * from tds_findings where resolved_at is null") == []


def test_long_failure_disables_and_a_long_silence_does_not(shop: Telling) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: 500
    shop.write(("p", 1))
    shop.deliver()
    shop.world.execute("update tds_subscriptions set failing_since = now() - interval '6 days'")
    shop.deliver(at_once=True)
    assert shop.subscription()["state"] == "disabled"
    assert "took nothing for 144 hours" in shop.subscription()["state_reason"]


def test_a_paused_subscription_loses_nothing(shop: Telling) -> None:
    shop.subscribe()
    with session_scope(shop.world.engine) as session:
        subscriptions.pause(session, "shop", by="test")
    shop.write(("p", 1))
    assert shop.deliver() == 0
    with session_scope(shop.world.engine) as session:
        subscriptions.resume(session, "shop", by="test")
    shop.deliver()
    assert shop.receiver.taken() == [("p", 1)]


def test_while_secrets_change_both_vouch_and_then_the_old_one_no_longer(shop: Telling) -> None:
    old = shop.subscribe()
    with session_scope(shop.world.engine) as session:
        _, new = subscriptions.rotate(session, Vault(context.settings().secret_key), "shop")
    shop.receiver.secrets = [old, new]
    shop.write(("p", 1))
    shop.deliver()
    assert shop.receiver.got[0].verified == [old, new]
    shop.world.execute("update tds_subscriptions set previous_until = now()")
    shop.receiver.secrets = [new]
    shop.write(("p", 2))
    shop.deliver()
    assert shop.receiver.got[1].verified == [new]
    shop.receiver.secrets = [old]
    shop.write(("p", 3))
    shop.deliver()
    assert len(shop.receiver.got) == 2  # its framework refused what the old secret does not vouch for


@pytest.mark.parametrize("answer", [301, 307])
def test_redirects_are_not_followed(shop: Telling, answer: int) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: (answer, {"Location": shop.receiver.url + "/elsewhere"})
    shop.write(("p", 1))
    shop.deliver()
    assert len(shop.receiver.got) == 1
    assert shop.deliveries() == [("p", 1, "failing", 1)]


def test_a_receiver_that_hangs_is_left_after_a_time_and_holds_up_no_other(
    shop: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_OUTBOUND_TIMEOUT_SECONDS", "1")
    context.settings.cache_clear()
    shop.receiver.answer = lambda body: slowly(3 if body["data"]["source_id"] == "slow" else 0)(body)
    shop.subscribe()
    shop.write(("slow", 1), ("quick", 1))
    shop.write(("quick", 2))
    shop.deliver()
    assert shop.receiver.versions() == {"quick": [1, 2]}
    [error] = [each[0] for each in shop.deliveries("error") if each[0]]
    assert error == "no answer within 1 s"


def test_a_wish_to_be_left_alone_is_heeded(shop: Telling) -> None:
    shop.subscribe()
    shop.receiver.answer = lambda body: (429, {"Retry-After": "600"})
    shop.write(("p", 1))
    shop.deliver()
    rest = shop.world.value("select extract(epoch from rests_until - now()) from tds_subscriptions")
    assert 500 < rest <= 600


def test_a_receiver_nobody_listens_at_is_tried_again(shop: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.subscribe()
    shop.world.execute("update tds_subscriptions set url = :url", url="http://localhost:1/")
    monkeypatch.setenv("TDS_OUTBOUND_PORTS", "1")
    monkeypatch.setenv("TDS_OUTBOUND_ALLOW", "127.0.0.0/8,::1")
    context.settings.cache_clear()
    shop.write(("p", 1))
    shop.deliver()
    [(state, error)] = shop.deliveries("state, error")
    assert (state, "refused" in error or "Connect" in error) == ("failing", True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0"])
def test_nothing_is_sent_to_an_inner_address_that_is_not_allowed(
    shop: Telling, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    shop.subscribe()
    shop.world.execute("update tds_subscriptions set url = replace(url, '127.0.0.1', :host)", host=host)
    monkeypatch.setenv("TDS_OUTBOUND_ALLOW", "")
    context.settings.cache_clear()
    shop.write(("p", 1))
    shop.deliver()
    assert shop.receiver.got == []
    assert [state for (state,) in shop.deliveries("state")] == ["failing"]


def test_a_replay_from_a_moment_on_tells_again_under_other_ids(shop: Telling) -> None:
    shop.subscribe()
    shop.write(("p", 1))
    shop.deliver()
    middle = shop.world.value("select clock_timestamp()")
    shop.write(("p", 2), ("q", 1))
    shop.deliver()
    with session_scope(shop.world.engine) as session:
        replay.replay_since(session, "shop", middle)
    shop.deliver()
    again = shop.receiver.got[3:]
    assert sorted((each.record, each.version) for each in again) == [("p", 2), ("q", 1)]
    assert len({each.id for each in shop.receiver.got}) == 5
    shop.write(("p", 3))
    shop.deliver()
    assert "_r" not in shop.receiver.got[-1].id


def test_a_record_is_replayed_from_a_version_on(shop: Telling) -> None:
    shop.subscribe()
    shop.write(("p", 1), ("q", 1))
    for version in (2, 3):
        shop.write(("p", version))
    shop.deliver()
    shop.receiver.got.clear()
    with session_scope(shop.world.engine) as session:
        replay.replay_record(session, "shop", entity="product", source_id="p", version=2)
    shop.deliver()
    assert shop.receiver.taken() == [("p", 2), ("p", 3)]


def test_a_receiver_is_never_sent_more_at_once_than_it_may_be(shop: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_OUTBOUND_AT_ONCE", "4")
    context.settings.cache_clear()
    now, most, lock = 0, 0, threading.Lock()

    def answer(_: dict[str, Any]) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        slowly(0.02)(_)
        with lock:
            now -= 1
        return 200

    shop.receiver.answer = answer
    shop.subscribe()
    shop.write(*((f"p{number}", 1) for number in range(40)))
    with ThreadPoolExecutor(3) as workers:
        list(workers.map(lambda _: shop.deliver(), range(3)))
    assert len(shop.receiver.got) == 40
    assert most <= 4


def test_several_workers_tell_each_event_once_and_in_order(shop: Telling) -> None:
    shop.subscribe()
    records = [f"p{number}" for number in range(20)]
    for version in range(1, 6):
        shop.write(*((record, version) for record in records))
    with ThreadPoolExecutor(3) as workers:
        while shop.owed() or not shop.receiver.got:
            list(workers.map(lambda _: shop.deliver(), range(3)))
    assert len(shop.receiver.got) == 100
    assert shop.receiver.versions() == {record: [1, 2, 3, 4, 5] for record in records}
