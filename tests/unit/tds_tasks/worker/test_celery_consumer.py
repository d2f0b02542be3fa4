"""The worker's ear outlives what its library stumbles over when a connection is lost."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.consumer import Consumer
from kombu import Connection

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
