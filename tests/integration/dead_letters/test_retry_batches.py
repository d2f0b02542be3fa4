"""Many letters are retried after a preview: throttled, cancellable, each of them once whoever is killed meanwhile."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from structlog.testing import capture_logs

from tds_core.dead_letters import queries, retry_batches
from tds_core.dead_letters.preview import Selection, preview
from tds_core.dead_letters.retry import EmptySelectionError, SelectionChangedError
from tds_core.errors import InvalidRecordError, RateError
from tds_models.db import session_scope
from tds_tasks.dispatcher import RetryBatchRunner
from tests.support.dead_letters import dead, many, mend, request, step
from tests.support.world import ScriptedSource, World, product

IDS = [f"46000000000000{n}" for n in range(1, 8)]


def batch_row(world: World, batch_id: int) -> dict[str, object]:
    with session_scope(world.engine) as session:
        return queries.batch(session, batch_id)


def previewed(world: World, source: ScriptedSource, **selection: object) -> dict[str, object]:
    return preview(
        lambda: session_scope(world.engine),
        Selection(**(selection or {"everything": True})),  # type: ignore[arg-type]
        per_minute=60,
        usage=lambda: None,
        source=lambda name: source,
    )


def test_a_preview_says_what_a_retry_costs_and_changes_and_writes_nothing(world: World, source: ScriptedSource) -> None:
    source.records[IDS[1]] = product(IDS[1])
    world.enqueue("product", IDS[1])
    world.drain("product")
    dead(world, source, *IDS[:3])
    mend(source, IDS[0])
    source.records[IDS[1]] = product(IDS[1], second=9, rate=11)
    source.records[IDS[2]] = {**product(IDS[2]), "item_id": None}
    before = world.rows("select * from tds_dead_letter_queue order by id")
    found = previewed(world, source)
    assert (found["letter_count"], found["seconds"]) == (3, 3.0)
    assert (found["least_calls"], found["most_calls"]) == ({"inventory": 1}, {"inventory": 3})
    by_id = {each["source_id"]: each for each in found["sample"]}
    assert by_id[IDS[0]]["outcome"] == "created"
    assert by_id[IDS[1]]["outcome"] == "updated"
    assert [str(value) for value in by_id[IDS[1]]["changes"]["price"]] == ["10.5", "11"]
    assert (by_id[IDS[2]]["outcome"], by_id[IDS[2]]["error"]) == ("fails", "validation: item_id: required, but empty")
    assert source.traffic[-1] == "operator"
    assert world.rows("select * from tds_dead_letter_queue order by id") == before
    assert world.queue_depth("product") == 0


def test_where_the_source_cannot_be_asked_the_kept_record_is_judged(world: World, source: ScriptedSource) -> None:
    dead(world, source, IDS[0])
    source.records[IDS[0]] = RateError("HTTP 429", after_seconds=60)
    [sample] = previewed(world, source)["sample"]
    assert (sample["seen"], sample["outcome"]) == ("kept", "created")


def test_only_the_letters_that_are_meant_are_retried(world: World, source: ScriptedSource) -> None:
    dead(world, source, *IDS[:2])
    dead(world, source, *IDS[2:5], error=InvalidRecordError("rate: -4 is less than 0"))
    group = world.value("select distinct fingerprint from tds_dead_letter_queue where error_class = 'validation'")
    assert request(world, fingerprint=group).letter_count == 3
    assert request(world, fingerprint=group).letter_count == 0  # they are being retried
    assert request(world, error_class="permanent", older_than_seconds=60.0).letter_count == 0
    assert request(world, error_class="permanent", entity="product").letter_count == 2
    with pytest.raises(EmptySelectionError), session_scope(world.engine) as session:
        retry_batches.request_batch(session, Selection(), by="ann", per_minute=1)


def test_letters_that_are_not_those_of_the_preview_are_not_retried(world: World, source: ScriptedSource) -> None:
    dead(world, source, *IDS[:2])
    with pytest.raises(SelectionChangedError), session_scope(world.engine) as session:
        retry_batches.request_batch(session, Selection(everything=True), by="ann", per_minute=60, expected_count=3)
    assert world.value("select count(*) from tds_dead_letter_batches") == 0


def test_a_batch_goes_no_faster_than_it_may(world: World) -> None:
    many(world, 100)
    batch = request(world, per_minute=120)
    assert step(world, seconds=0) == 0
    assert step(world, seconds=1) == 2
    assert step(world, seconds=3600) == 10  # what was missed is not made up for at once
    assert batch_row(world, batch.id)["outcomes"] == {"at_work": 12, "waiting": 88}


def test_a_slow_batch_goes_on_all_the_same(world: World) -> None:
    many(world, 2)
    request(world, per_minute=1)
    assert step(world, seconds=59) == 0
    assert step(world, seconds=2) == 1


def test_a_cancelled_batch_retries_no_more_and_lets_go_on_what_it_did(world: World, source: ScriptedSource) -> None:
    many(world, 10)
    batch = request(world, per_minute=120)
    assert step(world, seconds=2) == 4
    with session_scope(world.engine) as session:
        assert retry_batches.cancel_batch(session, batch.id, by="bob") == 6
        assert retry_batches.cancel_batch(session, batch.id, by="bob") == 0
    assert step(world, seconds=60) == 0
    world.drain("product")
    step(world)
    row = batch_row(world, batch.id)
    assert (row["state"], row["cancelled_by"]) == ("cancelled", "bob")
    assert row["outcomes"] == {"cancelled": 6, "deleted": 4}
    assert row["ended_at"] is not None
    assert request(world, everything=True).letter_count == 6


def test_a_batch_ends_with_its_last_letter_and_knows_what_came_of_each(world: World, source: ScriptedSource) -> None:
    dead(world, source, *IDS[:3])
    mend(source, *IDS[:2])
    batch = request(world)
    step(world)
    assert batch_row(world, batch.id)["state"] == "running"
    world.drain("product")
    step(world)
    row = batch_row(world, batch.id)
    assert (row["state"], row["outcomes"], row["requested_by"]) == ("completed", {"created": 2, "dead": 1}, "ann")


def test_a_fault_in_retrying_is_logged_once_and_stops_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(world, 1)
    request(world)
    reviver = RetryBatchRunner()
    scope = partial(session_scope, world.engine)
    with monkeypatch.context() as broken, capture_logs() as lines:
        broken.setattr(retry_batches, "requeue", lambda *given, **named: 1 / 0)
        world.execute("update tds_dead_letter_batches set stepped_at = now() - interval '1 second'")
        reviver.look(scope)
        reviver.look(scope)
    assert [line["event"] for line in lines] == ["letter_batches_failing"]
    reviver.look(scope)
    assert world.queue_depth("product") == 1


DISPATCHER = [sys.executable, "-m", "tds_tasks.dispatcher"]


def test_of_a_thousand_letters_each_is_retried_once_though_the_process_is_killed_in_the_middle(
    world: World, source: ScriptedSource, database: str, redis_url: str
) -> None:
    many(world, 1000)
    environ = {**os.environ, "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url}
    batch = request(world, per_minute=12_000)
    revived = "select count(*) from tds_dead_letter_revivals where revived_at is not null"
    for least in (100, 400, 1000):
        process = subprocess.Popen(DISPATCHER, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while world.value(revived) < least and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert world.value(revived) >= least
        if least < 1000:
            assert world.value(revived) < 1000
    assert world.value("select count(*) from tds_sync_queue where origin = 'revive'") == 1000
    while world.drain("product"):
        pass
    asked = [source_id for ids in source.asked for source_id in ids]
    assert (len(asked), len(set(asked))) == (1000, 1000)
    step(world)
    assert world.value("select max(n) from (select count(*) n from tds_dead_letter_revivals group by letter_id) x") == 1
    assert batch_row(world, batch.id)["outcomes"] == {"deleted": 1000}
    assert batch_row(world, batch.id)["state"] == "completed"
