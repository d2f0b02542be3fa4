"""A paused queue promises: work waits, what arrives is taken, everybody sees who paused it, and all of it goes on."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.health import health
from tds_core.queue import pauses
from tds_core.queue.claim import due_work
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for, wrapped
from tests.support.world import World

PAUSE, RESUME, PAUSES = "/api/tds/queue/pause", "/api/tds/queue/resume", "/api/tds/queue/pauses"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def due(world: World) -> set[str]:
    with session_scope(world.engine) as session:
        return {each.entity for each in due_work(session, list(ENTITIES))}


def test_work_of_a_paused_entity_waits_and_that_of_others_does_not(world: World, sender: Sender) -> None:
    world.enqueue("product", "1")
    world.enqueue("product", "2", bulk=True)
    world.enqueue("invoice", "1")
    paused = sender.post(PAUSE, {"entity": "product", "reason": "stocktaking"}).json
    assert [(each["entity"], each["paused_by"], each["reason"]) for each in paused] == [
        ("product", "token", "stocktaking")
    ]
    assert world.claim("product") is None
    assert due(world) == {"invoice"}
    assert world.claim("invoice") is not None
    assert sender.post(RESUME, {"entity": "product"}).json == []
    assert due(world) == {"product"}
    assert world.claim("product") is not None


def test_what_arrives_meanwhile_is_taken_and_owed(world: World, sender: Sender) -> None:
    sender.post(PAUSE, {})
    assert sender.send(wrapped("1")).status_code == 202
    assert (world.queue_depth("product"), world.claim("product")) == (1, None)
    sender.post(RESUME, {})
    assert world.claim("product") is not None


def test_all_entities_are_paused_and_resumed_at_once(sender: Sender) -> None:
    assert {each["entity"] for each in sender.post(PAUSE, {}).json} == set(ENTITIES)
    assert len(sender.post(RESUME, {"entity": "product"}).json) == len(ENTITIES) - 1
    assert sender.post(RESUME, {}).json == sender.get(PAUSES).json == []
    assert set(sender.nudged) <= set(ENTITIES)


def test_a_pause_says_who_paused_first(world: World) -> None:
    with session_scope(world.engine) as session:
        pauses.pause(session, "product", by="ann", reason="stocktaking")
        pauses.pause(session, "product", by="bob")
        assert [each["paused_by"] for each in pauses.pauses(session)] == ["ann"]


def test_nothing_else_can_be_paused(sender: Sender) -> None:
    assert sender.post(PAUSE, {"entity": "nothing"}).status_code == 422
    assert sender.post(PAUSE, {"entity": "product", "reason": "a\u0000"}).status_code == 422


def test_health_says_who_paused_and_does_not_call_the_workers_dead(world: World) -> None:
    world.enqueue("product", "1")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 hour'")
    with session_scope(world.engine) as session:
        pauses.pause(session, "product", by="ann")
        judged = {each.name: each for each in health.components(health.health_facts(session))}
    assert judged["workers"].state is health.HealthState.OK
    assert judged["queue"].state is health.HealthState.WARNING
    assert "product by ann" in judged["queue"].says


def test_the_queue_is_paused_by_command(world: World, tds: CommandLine) -> None:
    world.enqueue("product", "1")
    assert "Paused: product." in tds("queue", "pause", "product", "--reason", "stocktaking").out
    assert "stocktaking" in tds("queue").out
    assert world.claim("product") is None
    assert "No work is paused." in tds("queue", "resume").out
    assert world.value("select count(*) from tds_operator_actions where operation like 'cli.queue.%'") == 2
