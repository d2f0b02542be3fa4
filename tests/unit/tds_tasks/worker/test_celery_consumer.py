"""The worker's ear outlives what its library stumbles over when a connection is lost."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
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


def test_the_events_of_a_moment_are_sent_together_and_none_is_left_behind(consumer: Any) -> None:
    timers: list[Callable[[], None]] = []
    sent: list[str] = []
    consumer.timer = SimpleNamespace(call_after=lambda seconds, send: timers.append(send) or seconds)
    consumer.event_dispatcher = SimpleNamespace(flush=lambda: sent.append("together"))
    consumer._flush = None
    for _ in range(3):
        consumer.on_send_event_buffered()
    assert len(timers) == 1
    timers.pop()()
    assert sent == ["together"]
    consumer.on_send_event_buffered()
    assert len(timers) == 1


def test_events_are_sent_again_after_a_lost_connection_took_its_timers_along(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Callable[[], None]] = []
    consumer.timer = SimpleNamespace(
        call_after=lambda seconds, send: timers.append(send) or seconds, call_repeatedly=lambda *_: None
    )
    consumer._flush, consumer._round = None, None
    consumer.on_send_event_buffered()
    timers.clear()
    monkeypatch.setattr(Consumer, "on_ready", lambda _self: None)
    monkeypatch.setattr(consumer, "_go_round", lambda: None)
    consumer.on_ready()
    consumer.on_send_event_buffered()
    assert len(timers) == 1
