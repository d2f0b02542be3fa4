"""Beat shows that it goes round, also while the broker is away; a worker does not look through what it imported."""

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import signals
from celery.beat import PersistentScheduler

from tds_core.observability.heartbeat_files import DIRECTORY
from tds_tasks import context
from tds_tasks.app import ReconnectingScheduler


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(context, "settings", lambda: SimpleNamespace(home=tmp_path))
    monkeypatch.delenv("TDS_PROCESS", raising=False)
    made = ReconnectingScheduler.__new__(ReconnectingScheduler)
    made.app = SimpleNamespace(conf=SimpleNamespace(broker_connection_max_retries=None))
    return made


def test_each_tick_beats_and_says_when_the_next_is_due(
    scheduler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PersistentScheduler, "tick", lambda _self: 4.5)
    assert scheduler.tick() == 4.5
    assert (tmp_path / DIRECTORY / "beat").exists()


def test_each_failed_attempt_to_connect_beats(scheduler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_once(errback: Callable[[Exception, float], None], _retries: int | None) -> str:
        errback(ConnectionError("refused"), 2.0)
        return "connected"

    connection = SimpleNamespace(ensure_connection=fail_once)
    monkeypatch.setattr(ReconnectingScheduler, "connection", connection)
    assert scheduler._ensure_connected() == "connected"
    assert (tmp_path / DIRECTORY / "beat").exists()


def test_what_a_worker_imported_is_no_garbage_to_look_through() -> None:
    gc.unfreeze()
    signals.worker_init.send(sender=None)
    try:
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()
