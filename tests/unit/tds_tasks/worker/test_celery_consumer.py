"""The worker's ear outlives what its library stumbles over when a connection is lost."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.events import EventDispatcher
from celery.worker.consumer import Consumer
from kombu import Connection

from tds_core.observability.heartbeat_files import DIRECTORY
from tds_tasks import context
from tds_tasks.worker import celery_consumer
from tds_tasks.worker.celery_consumer import ReconnectingConsumer


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An ear that has connected; its library's own clean-up is the real one."""
    ear = ReconnectingConsumer.__new__(ReconnectingConsumer)
    ear.connection = Connection("memory://")
    ear.channel_errors = ()
    ear.event_dispatcher = None
    ear.app = SimpleNamespace(
        conf=SimpleNamespace(
            worker_cancel_long_running_tasks_on_connection_loss=False, worker_enable_prefetch_count_reduction=False
        )
    )
    return ear


def test_a_connection_that_cannot_even_be_closed_is_let_go(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_closed() -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    monkeypatch.setattr(consumer.connection, "close", half_closed)
    with pytest.raises(AttributeError):
        Consumer.on_connection_error_after_connected(consumer, ConnectionError("reset"))
    consumer.connection = Connection("memory://")
    monkeypatch.setattr(consumer.connection, "close", half_closed)
    consumer.on_connection_error_after_connected(ConnectionError("reset"))
    assert consumer.connection is None


@pytest.fixture
def beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the worker's heartbeat file was touched since the last call."""
    monkeypatch.setattr(context, "settings", lambda: SimpleNamespace(home=tmp_path))
    monkeypatch.delenv("TDS_PROCESS", raising=False)

    def has_beaten() -> bool:
        path = tmp_path / DIRECTORY / "worker"
        was_there = path.exists()
        path.unlink(missing_ok=True)
        return was_there

    return has_beaten


def test_the_main_loop_beats_while_it_goes_round_and_while_redis_is_away(
    consumer: Any, beats: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer._ready_at = 0.0
    consumer._go_round()
    assert beats()
    monkeypatch.setattr(celery_consumer.time, "sleep", lambda _seconds: None)
    consumer.on_connection_error_before_connected(ConnectionError("refused"))
    assert beats()

    def fail_once(errback: Callable[[Exception, float], None], *_: Any, **__: Any) -> None:
        errback(ConnectionError("refused"), 1.0)

    connection = SimpleNamespace(ensure_connection=fail_once)
    monkeypatch.setattr(Consumer, "ensure_connected", lambda _self, conn: conn.ensure_connection(None))
    assert not beats()
    consumer.ensure_connected(connection)
    assert beats()


@pytest.fixture
def sending(consumer: Any) -> SimpleNamespace:
    """The same ear with its timers, and how often it sent events."""
    seen = SimpleNamespace(timers=[], sent_count=0, cancelled_count=0)

    def call_after(_seconds: float, send: Callable[[], None]) -> SimpleNamespace:
        seen.timers.append(send)
        return SimpleNamespace(cancel=lambda: setattr(seen, "cancelled_count", seen.cancelled_count + 1))

    consumer.timer = SimpleNamespace(call_after=call_after, call_repeatedly=lambda *_: None)
    consumer.event_dispatcher = SimpleNamespace(flush=lambda: setattr(seen, "sent_count", seen.sent_count + 1))
    consumer._flush, consumer._round = None, None
    return seen


def test_the_events_of_a_moment_are_sent_together(consumer: Any, sending: SimpleNamespace) -> None:
    for _ in range(3):
        consumer.on_send_event_buffered()
    assert len(sending.timers) == 1
    sending.timers.pop()()
    assert sending.sent_count == 1
    consumer.on_send_event_buffered()
    assert len(sending.timers) == 1


def test_a_new_connection_begins_with_no_timer_of_the_one_before(
    consumer: Any, sending: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Consumer, "on_ready", lambda _self: None)
    monkeypatch.setattr(consumer, "_go_round", lambda: None)
    consumer.on_send_event_buffered()
    consumer.on_ready()
    assert sending.cancelled_count == 1
    consumer.on_send_event_buffered()
    assert len(sending.timers) == 2


def test_events_that_wait_are_sent_before_a_worker_stops(
    consumer: Any, sending: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(Consumer, "shutdown", lambda _self: counts.append(sending.sent_count))
    consumer.shutdown()
    assert counts == [1]


def test_events_that_wait_outlive_a_lost_connection(consumer: Any, sending: SimpleNamespace) -> None:
    """Celery keeps for the next connection what could not be sent, and drops what nobody tried to send."""

    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionError("reset")

    dispatcher = EventDispatcher(consumer.connection, enabled=True, buffer_group=["task"], app=Celery("here"))
    dispatcher.on_send_buffered = consumer.on_send_event_buffered
    dispatcher.producer = SimpleNamespace(publish=refused)
    consumer.event_dispatcher = dispatcher
    dispatcher.send("task-received", uuid="1")
    consumer.on_connection_error_after_connected(ConnectionError("reset"))
    assert len(dispatcher._outbound_buffer) == 1
