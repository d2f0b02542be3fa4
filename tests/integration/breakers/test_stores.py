"""Breakers between real processes, on a real Redis that is stopped, frozen, wiped and brought back."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from tds_core.breakers.breaker import BreakerStatus
from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import load_settings
from tds_core.errors import BreakerOpenError, TransientError
from tds_local.embedded import EmbeddedRedis

NAME = "zoho.inventory.items"
fork = multiprocessing.get_context("fork")


def breakers_at(url: str, **thresholds: str) -> Breakers:
    params = {f"TDS_BREAKER_{name.upper()}": value for name, value in thresholds.items()}
    calls = {"TDS_HTTP_TIMEOUT_SECONDS": "1", "TDS_HTTP_CONNECT_SECONDS": "1"}
    return open_breakers(load_settings({"TDS_REDIS_URL": url, **calls, **params}))


def fail(breakers: Breakers, count: int) -> None:
    for _ in range(count):
        with suppress(TransientError, BreakerOpenError), breakers.guard(NAME):
            raise TransientError("down")


def is_refused(breakers: Breakers) -> bool:
    try:
        with breakers.guard(NAME):
            return False
    except BreakerOpenError:
        return True


def state(breakers: Breakers) -> BreakerStatus:
    return next(state for state in breakers.states() if state.name == NAME)


def hammer(url: str, number: int, seconds: float) -> None:
    """A process that asks a dependency that is down, again and again, and notes who was asking at the same time."""
    breakers = breakers_at(url, open_seconds="1", open_most_seconds="1")
    eyes = redis.Redis.from_url(url)
    eyes.incr("ready")
    while not eyes.get("go"):
        time.sleep(0.01)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(BreakerOpenError, TransientError), breakers.guard(NAME):
            eyes.rpush("at once", eyes.incr("asking"))
            time.sleep(0.05)
            eyes.decr("asking")
            raise TransientError("down")
        time.sleep(0.005)


def test_of_sixteen_processes_exactly_one_probes_each_time_the_circuit_is_half_open(redis_url: str) -> None:
    eyes = redis.Redis.from_url(redis_url)
    fail(breakers_at(redis_url, open_seconds="1", open_most_seconds="1"), 5)
    processes = [fork.Process(target=hammer, args=(redis_url, number, 4.5)) for number in range(16)]
    for process in processes:
        process.start()
    while int(eyes.get("ready") or 0) < 16:
        time.sleep(0.02)
    eyes.set("go", 1)
    for process in processes:
        process.join()
    found = state(breakers_at(redis_url))
    windows = (found.change_count - 1) // 2  # it opened once; then it was half-open and opened again, each time
    assert windows >= 3
    assert eyes.lrange("at once", 0, -1) == [b"1"] * windows
    assert found.call_count == 5 + windows
    assert found.rejection_count > 16 * windows


def probe_and_say_so(url: str) -> None:
    """A process that gets the right to probe, and never comes back."""
    with breakers_at(url, probe_seconds="2").guard(NAME):
        redis.Redis.from_url(url).set("probing", 1)
        time.sleep(600)


def test_a_probe_whose_process_is_killed_frees_its_right_in_bounded_time(redis_url: str) -> None:
    breakers = breakers_at(redis_url, open_seconds="1", probe_seconds="2")
    fail(breakers, 5)
    time.sleep(1.2)
    holder = fork.Process(target=probe_and_say_so, args=(redis_url,))
    holder.start()
    assert wait_for(lambda: bool(redis.Redis.from_url(redis_url).get("probing")))
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    assert is_refused(breakers)
    assert state(breakers).state is CircuitState.HALF_OPEN
    assert wait_for(lambda: not is_refused(breakers))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


def test_breakers_outlive_a_redis_that_stops_and_comes_back(own_redis: EmbeddedRedis) -> None:
    url = own_redis.url
    breakers = breakers_at(url)
    assert not is_refused(breakers)
    own_redis.stop()
    fail(breakers, 5)
    assert is_refused(breakers)
    assert not state(breakers).is_shared
    own_redis.start()
    assert own_redis.url == url
    assert wait_for(lambda: not is_refused(breakers))
    assert state(breakers).is_shared


def test_breakers_outlive_a_redis_that_freezes_and_one_that_is_wiped(own_redis: EmbeddedRedis) -> None:
    breakers = breakers_at(own_redis.url)
    fail(breakers, 5)
    os.kill(own_redis.pid or 0, signal.SIGSTOP)
    try:
        time.sleep(1.1)
        assert is_refused(breakers), "what was open stays open"
        assert not state(breakers).is_shared
    finally:
        os.kill(own_redis.pid or 0, signal.SIGCONT)
    assert wait_for(lambda: state(breakers).is_shared)
    assert state(breakers).state is CircuitState.OPEN
    redis.Redis.from_url(own_redis.url).flushall()
    redis.Redis.from_url(own_redis.url).script_flush()
    assert wait_for(lambda: not is_refused(breakers))


def test_nothing_needs_redis_to_be_imported_or_made() -> None:
    code = """
from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import load_settings
import tds_core.sources.registry
breakers = open_breakers(load_settings({"TDS_REDIS_URL": "redis://127.0.0.1:1/0"}))
with breakers.guard("zoho.token"):
    print("asked")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "asked"


def wait_for(seen: Callable[[], bool], seconds: float = 15) -> bool:
    """Ask until it is true, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.05)
    return False
