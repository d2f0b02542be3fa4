"""A healing cycle promises: what can be put right is, what cannot is told once, and every deed is written down."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tds_core.breakers.breaker import breaker_status
from tds_core.breakers.circuit import Circuit, CircuitState
from tds_core.breakers.registry import Breakers
from tds_core.errors import InvalidRecordError, TransientError
from tds_core.healing import cycle
from tds_core.healing.action_log import Cause
from tds_core.sources.base import ListPage
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.worker_reports import deeds, heal, healing_context_of
from tests.support.world import ScriptedSource, World, product

BREAKER = "zoho.inventory.items"


class OpenBreaker(Breakers):
    """One breaker that is due to be probed."""

    def states(self, *, of_all: bool = False) -> list[Any]:
        opened = datetime.now(UTC) - timedelta(seconds=90)
        wake_at_ms = int((opened + timedelta(seconds=60)).timestamp() * 1000)
        circuit = Circuit(CircuitState.OPEN, opened_at_ms=int(opened.timestamp() * 1000), wake_at_ms=wake_at_ms)
        return [breaker_status(BREAKER, circuit, is_shared=True, unreported_rejections=0)]


def test_a_cycle_that_finds_nothing_says_so_in_its_own_row_and_no_other(world: World) -> None:
    assert heal(world) == {}
    found = world.one("select * from tds_healing_cycles")
    assert found["counts"] == dict.fromkeys((each.name for each in cycle.ACTIONS), 0)
    assert (found["cause"], found["requested_by"], found["ended_at"] is None) == ("operator", "test", False)
    assert world.value("select count(*) from tds_healing_actions") == 0


def test_silent_leases_are_taken_back(world: World) -> None:
    world.enqueue("product", "1", "2")
    world.claim(lease_seconds=0)
    assert heal(world) == {"leases": 2}
    [deed] = deeds(world, "leases")
    assert (deed["count"], deed["outcome"], deed["detail"]["item_count"]) == (2, "done", 2)
    assert deed["cycle_id"] == world.value("select id from tds_healing_cycles")


def test_letters_whose_time_has_come_are_retried(world: World, source: ScriptedSource) -> None:
    source.records["1"] = InvalidRecordError("no")
    world.enqueue("product", "1")
    world.drain("product", make_due=True)
    assert world.value("select count(*) from tds_dead_letter_queue") == 1
    assert heal(world) == {}
    world.execute("update tds_dead_letter_queue set last_dead_at = now() - interval '2 days'")
    assert heal(world) == {"letters": 1}


def test_due_work_nobody_took_up_is_announced_and_fresh_work_is_not(world: World) -> None:
    world.enqueue("product", "1")
    assert heal(world) == {}
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 minute'")
    assert heal(world) == {"nudges": 1}
    assert world.nudged == ["product"]
    [deed] = deeds(world, "nudges")
    assert deed["lasted_seconds"] >= 60


def test_what_could_not_be_announced_is_written_down_as_failed(world: World) -> None:
    world.enqueue("product", "1")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 minute'")
    heal(world, healing_context_of(world, announce=lambda entity: False))
    assert deeds(world, "nudges")[0]["outcome"] == "failed"


def test_one_actions_failure_is_no_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(context: Any) -> Any:
        raise ValueError("a bug")

    world.enqueue("product", "1")
    world.claim(lease_seconds=0)
    broken = [cycle.CycleAction("letters", "", breaks), *cycle.ACTIONS]
    monkeypatch.setattr(
        cycle, "ACTIONS", tuple(each for n, each in enumerate(broken) if not n or each.name != "letters")
    )
    assert heal(world) == {"letters": None, "leases": 1}
    assert deeds(world, "letters")[0]["detail"] == {"error": "ValueError: a bug"}


def test_an_open_breaker_is_probed_by_the_work_that_waits_for_it(world: World) -> None:
    world.enqueue("product", "1")
    world.execute(
        "update tds_sync_queue set waits_for = :name, next_attempt_at = now() + interval '1 hour'", name=BREAKER
    )
    assert heal(world, healing_context_of(world, breakers=OpenBreaker())) == {"breakers": 1}
    assert world.value("select count(*) from tds_sync_queue where next_attempt_at <= now()") == 1
    assert deeds(world, "breakers")[0]["detail"] == {"probed_by": "work"}


@pytest.mark.parametrize(("answer", "outcome"), [
    (ListPage(rows=[], has_more=False), "done"), (TransientError("HTTP 502"), "failed"),
])  # fmt: skip
def test_an_open_breaker_nobody_waits_for_is_probed_by_a_list(world: World, answer: Any, outcome: str) -> None:
    asked = ScriptedSource(pages=[answer, answer])
    heal(world, healing_context_of(world, breakers=OpenBreaker(), source=lambda name: asked))
    [deed] = deeds(world, "breakers")
    assert (deed["subject"], deed["outcome"], deed["detail"]["probed_by"]) == (BREAKER, outcome, "a list")
    assert deed["lasted_seconds"] >= 90
    assert 1 <= asked.call_count <= 2


def test_every_entitys_list_can_probe_its_breaker() -> None:
    from tds_core.healing.actions import entities_by_breaker

    paths = {(each.stream.api, each.stream.path) for each in entities_by_breaker().values()}
    assert {(each.stream.api, each.stream.path) for each in ENTITIES.values()} == paths


def test_work_in_hand_for_over_an_hour_is_reported_every_hour_and_never_taken(world: World) -> None:
    world.enqueue("product", "1")
    world.claim(lease_seconds=60)
    world.execute("update tds_sync_queue set updated_at = now() - interval '61 minutes'")
    assert heal(world) == {"stuck": 1}
    assert heal(world) == {}
    world.execute("update tds_healing_actions set acted_at = now() - interval '61 minutes'")
    assert heal(world) == {"stuck": 1}
    assert world.value("select count(*) from tds_sync_queue where lease_token is not null") == 1
    assert {(deed["outcome"], deed["subject"]) for deed in deeds(world, "stuck")} == {("reported", "test")}


@pytest.mark.parametrize(("last_page", "told"), [("2 minutes", 1), ("2 hours", 2)])
def test_a_long_run_is_reported_once_while_it_moves_and_every_hour_when_it_does_not(
    world: World, last_page: str, told: int
) -> None:
    run_id = world.request_run("product", "full")
    world.execute("update tds_sync_runs set state = 'running', started_at = now() - interval '3 hours'")
    world.execute(
        "insert into tds_sync_run_pages (run_id, page, source_ids, fetch_seconds, apply_seconds, read_at)"
        " values (:id, 1, '{}', 1, 1, now() - cast(:ago as interval))",
        id=run_id,
        ago=last_page,
    )
    heal(world)
    world.execute("update tds_healing_actions set acted_at = now() - interval '61 minutes'")
    heal(world)
    assert len(deeds(world, "stuck")) == told
    world.execute("update tds_sync_runs set next_attempt_at = now() + interval '1 hour'")
    world.execute("delete from tds_healing_actions")
    assert heal(world) == {}, "it waits for its time"


def test_a_queue_is_reported_when_it_becomes_deep_deeper_and_well_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    context = healing_context_of(world)
    context = replace(context, settings=replace(context.settings, depth_warning=2, depth_critical=4))
    for ids in ("abc", "ab", "abcde"):
        world.enqueue("product", *ids)
        heal(world, context)
    world.execute("delete from tds_sync_queue")
    heal(world, context)
    heal(world, context)
    found = [(deed["detail"]["level"], deed["outcome"]) for deed in deeds(world, "depth")]
    assert found == [("warning", "reported"), ("critical", "reported"), ("ok", "done")]


def test_of_many_who_would_begin_an_overdue_cycle_one_does(world: World) -> None:
    begun = []
    for _ in range(3):
        with session_scope(world.engine) as session:
            begun.append(cycle.begin_overdue(session, cause=Cause.DISPATCHER, seconds=300))
    assert [each is not None for each in begun] == [True, False, False]


def test_beat_has_a_cycle_run(world: World) -> None:
    from tds_tasks import schedule

    world.enqueue("product", "1")
    world.claim(lease_seconds=0)
    assert schedule.JOBS["heal"]({}) == "{'leases': 1}"
    assert world.value("select cause from tds_healing_cycles") == "beat"


def test_what_the_dispatcher_rescues_is_written_down_and_an_empty_look_is_not(world: World) -> None:
    from tds_tasks.breaker_wakeup import BreakerWakeup
    from tds_tasks.dispatcher import Dispatcher

    looking = Dispatcher(
        BreakerWakeup(Breakers(), calls_per_minute=lambda: 0, look_seconds=0.5), slots=lambda: 1, claim_size=lambda: 1
    )
    world.enqueue("product", "1")
    world.claim(lease_seconds=0)
    with world.engine.connect() as connection:
        for _ in range(3):
            looking.look(connection)
    [deed] = deeds(world, "leases")
    assert (deed["cause"], deed["cycle_id"], deed["count"]) == ("dispatcher", None, 1)


def test_records_that_recover_by_themselves_are_counted_apart_from_those_that_do_not(
    world: World, source: ScriptedSource
) -> None:
    from tds_core.healing import stats

    source.records.update({"1": TransientError("HTTP 502"), "2": InvalidRecordError("no"), "3": product("3")})
    world.enqueue("product", "1", "2", "3")
    world.drain("product")
    source.records["1"] = product("1")
    world.drain("product", make_due=True)
    world.execute("update tds_sync_logs set ended_at = ended_at - interval '1 minute' where outcome = 'retry'")
    with session_scope(world.engine) as session:
        found = stats.healing_stats(session)["recovery"]
    assert (found["troubled_count"], found["recovered_count"], found["dead_count"]) == (2, 1, 1)
    assert (found["unaided_share"], 60 <= found["mean_seconds"] < 120) == (0.5, True)
