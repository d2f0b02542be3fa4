"""Zoho away, each way it can be: work waits, nothing is spent, and afterwards everything is brought over by itself."""

import itertools
import os
import time
from collections.abc import Callable

import pytest

from tds_core.queue import retry_policy
from tds_models.db import session_scope
from tds_tasks import context
from tds_tasks.breaker_wakeup import BreakerWakeup
from tests.support.standin import StandIn
from tests.support.world import World, forget_context

SPENT = "select count(*) from tds_sync_logs where outcome in ('retry', 'dead', 'crashed')"
KINDS = ("reset", "hanging", "error_500", "html", "truncated")


@pytest.fixture
def hurried(synced: World, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose breakers and retries wait for fractions of what they wait for elsewhere."""
    params = {"OPEN_SECONDS": "1", "OPEN_MOST_SECONDS": "1", "FAILURES": "3"}
    for name, value in params.items():
        monkeypatch.setenv(f"TDS_BREAKER_{name}", value)
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    monkeypatch.setenv("TDS_HTTP_TIMEOUT_SECONDS", "1")
    monkeypatch.setattr(retry_policy, "BASE_SECONDS", 0.05)
    monkeypatch.setattr(retry_policy, "LEAST_SNOOZE_SECONDS", 0.05)
    forget_context()
    return synced


def work_until(world: World, happened: Callable[[], bool], *, seconds: float = 30, run_id: int | None = None) -> None:
    """Be dispatcher and workers until it happened."""
    waker = BreakerWakeup(context._breakers(os.getpid()), calls_per_minute=lambda: 0, look_seconds=0.5)
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, world.rows("select * from tds_sync_queue limit 3")
        waker.look(lambda: session_scope(world.engine))
        for entity in ("product", "invoice", "stock_level"):
            world.drain(entity)
        if run_id:
            world.advance(run_id)
        time.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_costs_nothing_and_ends_by_itself(hurried: World, standin: StandIn, kind: str) -> None:
    hurried.enqueue("product", *standin.ids("items")[:30], must_read=True)
    hurried.enqueue("invoice", *standin.ids("invoices")[:12], must_read=True)
    run_id = hurried.request_run("customer", "full")
    standin.sandbox.outage.begin(kind, 4.0, accounts=False)  # type: ignore[arg-type]
    over = time.monotonic() + 4.0
    work_until(hurried, lambda: time.monotonic() > over - 0.5, run_id=run_id)
    asked = len(standin.calls)
    work_until(
        hurried,
        lambda: hurried.queue_depth() == 0 and hurried.run_row(run_id)["state"] == "completed",
        run_id=run_id,
    )
    # Of each of three parts: till its breaker opens, and a probe a second.
    assert asked <= 1 + 3 * (3 + 4), standin.calls[:asked]
    assert hurried.value(SPENT) == 0, hurried.rows("select * from tds_sync_logs where outcome <> 'updated' limit 9")
    assert hurried.value("select count(*) from tds_dead_letter_queue") == 0
    assert hurried.run_row(run_id)["attempts"] == 0
    assert len(hurried.mirror("invoice", "number")) == 12
    # A reading of the stock that the invoices feed tells of its product, too.
    assert hurried.mirror("product", "name").keys() >= set(standin.ids("items")[:30])


def test_an_outage_of_the_token_endpoint_costs_nothing_either(hurried: World, standin: StandIn) -> None:
    hurried.enqueue("invoice", *standin.ids("invoices")[:12], must_read=True)
    standin.sandbox.outage.begin("html", 3.0, accounts=True)
    work_until(hurried, lambda: hurried.queue_depth() == 0)
    assert hurried.value(SPENT) == 0
    assert len(hurried.mirror("invoice", "number")) == 12


def test_a_record_that_fails_by_itself_is_given_up_and_stops_nobody(hurried: World, standin: StandIn) -> None:
    ids = standin.ids("invoices")
    standin.fail("error_500", f"/books/v3/invoices/{ids[0]}", count=0)
    hurried.enqueue("invoice", ids[0], must_read=True)
    others = itertools.cycle(ids[1:])
    until = time.monotonic() + 45
    while not hurried.rows("select from tds_dead_letter_queue") and time.monotonic() < until:
        other = next(others)
        hurried.enqueue("invoice", other, must_read=True)
        is_owed = f"select exists (select from tds_sync_queue where source_id = '{other}')"
        work_until(hurried, lambda is_owed=is_owed: not hurried.value(is_owed))  # type: ignore[misc]
    letter = hurried.one("select source_id, error_class, attempts from tds_dead_letter_queue")
    assert letter == {"source_id": ids[0], "error_class": "transient", "attempts": 8}


def test_what_waits_for_a_breaker_goes_on_when_an_operator_closes_it(
    hurried: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_BREAKER_OPEN_SECONDS", "900")
    monkeypatch.setenv("TDS_BREAKER_OPEN_MOST_SECONDS", "900")
    forget_context()
    hurried.enqueue("invoice", *standin.ids("invoices")[:5], must_read=True)
    standin.fail("html_502", "/books/v3/invoices", count=3)
    waits = "select count(*) from tds_sync_queue where waits_for = 'zoho.books.invoices'"
    work_until(hurried, lambda: hurried.value(waits) == 5)
    assert hurried.value("select min(next_attempt_at) > now() + interval '14 minutes' from tds_sync_queue")
    context._breakers(os.getpid()).reset("zoho.books.invoices", by="Nadia")
    work_until(hurried, lambda: hurried.queue_depth() == 0, seconds=5)
