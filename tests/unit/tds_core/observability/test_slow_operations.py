"""What takes longer than the limit gets a line and a count, once; what does not gets neither."""

from collections.abc import Iterator

import pytest
from prometheus_client.registry import REGISTRY
from structlog.testing import capture_logs

from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging
from tds_core.observability.slow_operations import SlowOperations, slow


@pytest.fixture
def limited() -> Iterator[SlowOperations]:
    before = slow.read_limit
    slow.read_limit = lambda: 2.0
    yield slow
    slow.read_limit = before


def count() -> float:
    return REGISTRY.get_sample_value("tds_slow_operations_total", {"operation": "batch"}) or 0.0


def test_only_what_is_over_the_limit_is_reported_and_counted(limited: SlowOperations) -> None:
    before = count()
    with capture_logs() as lines:
        limited.observe("batch", 1.99, entity="product")
        limited.observe("batch", 2.01, entity="invoice")
    [line] = lines
    assert (line["event"], line["log_level"], line["entity"]) == ("operation_slow", "warning", "invoice")
    assert count() - before == 1


def test_the_limit_is_the_setting_s(limited: SlowOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logging.Logger.setLevel", lambda *_: None)
    monkeypatch.setattr("logging.root.handlers", [])
    configure_logging(load_settings({"TDS_SLOW_SECONDS": "0.5"}), process="test")
    assert limited.limit_seconds == 0.5
