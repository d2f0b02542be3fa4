"""Workers promise to tell of themselves, canaries to be given once, and only who is deaf is ended."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import psutil
import pytest
import redis
from redis.exceptions import ConnectionError as RedisAway

from tds_core.healing import canary_messages
from tds_core.health import health
from tds_core.schedule import job_store
from tds_models.db import session_scope
from tds_tasks import celeryconfig, healing_loop, worker_nudges
from tds_tasks.healing_loop import HealingRunner
from tds_tasks.worker import lease_holder_liveness
from tests.support.worker_reports import ELSEWHERE, deeds, heal, healing_context_of, leave_canaries, tell
from tests.support.world import World

SEND = worker_nudges._send  # worlds collect what is sent in its place
EAR = f"tds.ear.{ELSEWHERE}"


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The canaries that were put, by queue."""
    params: dict[str, str] = {}
    monkeypatch.setattr(
        worker_nudges, "put_canary", lambda queue, nonce, expires_seconds: params.update({queue: nonce})
    )
    return params


def hear(world: World, queue: str, nonce: str) -> None:
    with session_scope(world.engine) as session:
        canary_messages.acknowledge(session, queue, nonce, by="somebody")


def judged(world: World) -> health.ComponentStatus:
    with session_scope(world.engine) as session:
        found = health.health_facts(session)
    return next(each for each in health.components(found) if each.name == "listening")


def test_a_worker_that_consumes_nothing_is_ended_once_and_it_is_written_down(world: World) -> None:
    assert tell(world, heard_seconds=70.0) is None
    leave_canaries(world, EAR)
    assert heal(world) == {"workers": 1}
    assert heal(world) == {}
    assert tell(world, heard_seconds=71.0) == "left 4 canaries unheard in 61 s"
    [deed] = deeds(world, "workers")
    assert (deed["subject"], deed["lasted_seconds"] >= 70) == (f"worker@{ELSEWHERE}", True)


def test_a_busy_one_is_left_alone(world: World) -> None:
    tell(world, heard_seconds=70.0, busy_count=2)
    leave_canaries(world, EAR)
    assert heal(world) == {}


def test_no_worker_is_judged_where_that_is_switched_off(world: World) -> None:
    tell(world, heard_seconds=70.0)
    leave_canaries(world, EAR)
    context = healing_context_of(world)
    assert heal(world, replace(context, settings=replace(context.settings, deaf_seconds=0.0))) == {}


def test_another_process_of_the_same_id_is_not_the_one_judged(world: World) -> None:
    tell(world, heard_seconds=70.0)
    leave_canaries(world, EAR)
    heal(world)
    assert tell(world, born=2.5) is None


def test_every_queue_and_every_worker_is_given_a_canary_and_not_again_at_once(
    world: World, put: dict[str, str]
) -> None:
    runner = HealingRunner(healing_context_of(world))
    runner.look()
    assert put == {}, "nobody is there to hear"
    tell(world)
    runner.look()
    assert set(put) == {*worker_nudges.SHARED, EAR}
    put.clear()
    runner.look()
    assert put == {}
    world.execute("update tds_canaries set sent_at = now() - interval '16 seconds'")
    runner.look()
    assert set(put) == {*worker_nudges.SHARED, EAR}
    assert world.value("select distinct unanswered_count from tds_canaries") == 2


def test_who_hears_a_canary_clears_its_queue(world: World, put: dict[str, str]) -> None:
    tell(world)
    HealingRunner(healing_context_of(world)).look()
    hear(world, "tds.high", put["tds.low"])
    assert world.value("select unanswered_count from tds_canaries where queue = 'tds.high'") == 1
    hear(world, "tds.high", put["tds.high"])
    found = world.one("select * from tds_canaries where queue = 'tds.high'")
    assert (found["unanswered_count"], found["unanswered_since"], found["heard_by"]) == (0, None, "somebody")


def test_canaries_that_could_not_be_put_count_against_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(queue: str, nonce: str, expires_seconds: float) -> None:
        raise RedisAway("refused")

    monkeypatch.setattr(worker_nudges, "put_canary", away)
    tell(world)
    for _ in range(5):
        HealingRunner(healing_context_of(world)).look()
        world.execute("update tds_canaries set sent_at = now() - interval '16 seconds'")
    assert world.rows("select distinct unanswered_count, unanswered_since from tds_canaries") == [
        {"unanswered_count": 0, "unanswered_since": None}
    ]


def test_a_cycle_is_run_when_nobody_else_ran_one(world: World, put: dict[str, str]) -> None:
    runner = HealingRunner(healing_context_of(world), overdue_seconds=0.0)
    heal(world)
    world.execute("update tds_healing_cycles set began_at = now() + interval '1 hour'")
    runner.look()
    assert world.value("select count(*) from tds_healing_cycles where cause = 'dispatcher'") == 0
    world.execute("update tds_healing_cycles set began_at = now() - interval '1 hour'")
    runner.look()
    assert world.value("select count(*) from tds_healing_cycles where cause = 'dispatcher'") == 1


def test_without_redis_cycles_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise RedisAway("refused")

    monkeypatch.setattr(worker_nudges, "put_canary", away)
    monkeypatch.setattr(worker_nudges, "_send", away)
    tell(world)
    world.enqueue("product", "1")
    world.claim(lease_seconds=0)
    world.enqueue("vendor", "2")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 minute'")
    HealingRunner(replace(healing_context_of(world), announce=healing_loop.announce), overdue_seconds=0.0).look()
    assert world.value("select count(*) from tds_sync_queue where lease_token is not null") == 0
    assert {deed["outcome"] for deed in deeds(world, "nudges")} == {"failed"}


def test_work_of_a_queue_nobody_consumes_goes_to_one_that_is_heard(
    world: World, put: dict[str, str], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_nudges, "_send", SEND)
    monkeypatch.setattr(worker_nudges.app.conf, "broker_url", redis_url)
    tell(world)
    leave_canaries(world, "tds.high")
    runner = HealingRunner(healing_context_of(world))
    for _ in range(2):
        runner.look()
    [deed] = deeds(world, "nudges")
    assert (deed["subject"], deed["detail"]) == ("tds.high", {"unheard": True, "instead": "tds.normal"})
    worker_nudges.nudge("invoice")
    with redis.Redis.from_url(redis_url) as client:
        assert (client.llen("tds:tds.high"), client.llen("tds:tds.normal")) == (0, 1)
        hear(world, "tds.high", world.value("select nonce::text from tds_canaries where queue = 'tds.high'"))
        runner.look()
        worker_nudges.nudge("invoice")
        assert (client.llen("tds:tds.high"), client.llen("tds:tds.normal")) == (1, 1)


def sleeper(world: World) -> tuple[subprocess.Popen[bytes], str]:
    """A process of this machine that a worker's row tells of."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    host, _, place = lease_holder_liveness.worker_name().split(":")
    process = f"{host}:{child.pid}:{place}"
    tell(world, process, born=lease_holder_liveness.born(child.pid))
    world.execute("update tds_listeners set alive_at = now() - interval '61 seconds'")
    return child, process


def test_who_stands_still_on_this_machine_is_killed_but_not_at_first_sight(
    world: World, put: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    child, process = sleeper(world)
    runner = HealingRunner(healing_context_of(world))
    runner.look()
    assert child.poll() is None, "the database may have been away, and nobody could tell"
    monkeypatch.setattr(healing_loop, "SUSPICION_SECONDS", -1.0)
    runner.look()
    assert child.wait(10) == -9
    found = world.one("select * from tds_listeners where process = :process", process=process)
    assert (found["end_reason"], "stands still" in found["deaf_reason"]) == ("deaf", True)
    assert len(deeds(world, "workers")) == 1


def test_a_process_that_only_has_the_same_id_is_not_killed(
    world: World, put: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    child, _ = sleeper(world)
    world.execute("update tds_listeners set born = born - 100")
    monkeypatch.setattr(healing_loop, "SUSPICION_SECONDS", -1.0)
    HealingRunner(healing_context_of(world)).look()
    assert child.poll() is None
    assert deeds(world, "workers") == []
    child.kill()
    child.wait()


def test_who_is_silent_elsewhere_is_not_judged_and_forgotten_in_time(world: World, put: dict[str, str]) -> None:
    tell(world)
    world.execute("update tds_listeners set alive_at = now() - interval '5 minutes'")
    HealingRunner(healing_context_of(world)).look()
    assert deeds(world, "workers") == []
    world.execute("update tds_listeners set alive_at = now() - interval '11 minutes'")
    HealingRunner(healing_context_of(world)).look()
    assert world.value("select end_reason from tds_listeners") == "silent"
    assert world.value("select count(*) from tds_canaries where queue = :ear", ear=EAR) == 0


def test_a_worker_that_died_is_gone_and_not_judged(world: World, put: dict[str, str]) -> None:
    child, _ = sleeper(world)
    child.kill()
    child.wait()
    HealingRunner(healing_context_of(world)).look()
    assert world.one("select deaf_at, end_reason from tds_listeners") == {"deaf_at": None, "end_reason": "gone"}


def test_health_names_a_worker_to_start_again_and_a_queue_nobody_consumes(world: World) -> None:
    assert judged(world).state == "ok"
    tell(world, heard_seconds=70.0)
    assert judged(world).says == "1 workers listen"
    leave_canaries(world, "tds.low")
    assert judged(world).says == "nobody consumes tds.low"
    leave_canaries(world, EAR)
    heal(world)
    world.execute("update tds_listeners set deaf_at = now() - interval '31 seconds', ended_at = now()")
    assert "not started again" in judged(world).says
    tell(world, "far:8:elsewher", queues=["tds.low"], busy_count=2)
    assert judged(world).says == "1 workers listen", "all that consume tds.low are busy"


def test_no_living_worker_is_seen(world: World) -> None:
    tell(world)
    world.execute("update tds_listeners set alive_at = now() - interval '1 minute'")
    assert judged(world).state == "critical"


def test_a_stopped_process_is_not_at_work() -> None:
    from tds_tasks.worker.status_reporter import _is_stopped

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert not _is_stopped(child.pid)
    psutil.Process(child.pid).suspend()
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert _is_stopped(child.pid)
    child.kill()
    child.wait()
    assert not _is_stopped(None)


def test_the_dispatchers_healing_ends_with_it(
    world: World, put: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing_loop, "LOOK_SECONDS", 0.05)
    tell(world)
    stop = threading.Event()
    thread = healing_loop.start_healing(
        healing_context_of(world).settings, world.engine, healing_context_of(world).breakers, stop
    )
    while not put:
        stop.wait(0.02)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_pause_of_auto_healing_holds_for_the_dispatcher(world: World, put: dict[str, str]) -> None:
    with session_scope(world.engine) as session:
        job_store.seed(session, {"auto-healing": celeryconfig.TIMETABLE["auto-healing"]})
    world.execute("update tds_scheduled_jobs set paused_at = now()")
    tell(world, heard_seconds=70.0)
    leave_canaries(world, EAR)
    runner = HealingRunner(healing_context_of(world), overdue_seconds=-1.0)
    runner.look()
    assert (deeds(world, "workers"), world.value("select count(*) from tds_healing_cycles")) == ([], 0)
    world.execute("update tds_scheduled_jobs set paused_at = null")
    runner.look()
    assert [deed["subject"] for deed in deeds(world, "workers")] == [f"worker@{ELSEWHERE}"]
    assert world.value("select count(*) from tds_healing_cycles") == 1
