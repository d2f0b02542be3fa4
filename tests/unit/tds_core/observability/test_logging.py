"""Log lines: one shape, UTC, correlated, without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging, get_logger


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the configured process writes; the root logger is put back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging(load_settings({}), process="api", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_carries_process_level_correlation_and_utc_time(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(correlation_id="c-1")
    get_logger("tds.sync").info("sync_item_completed", outcome="created")
    (line,) = lines(stream)
    assert (line["event"], line["outcome"], line["level"]) == ("sync_item_completed", "created", "info")
    assert (line["process"], line["correlation_id"], line["logger"]) == ("api", "c-1", "tds.sync")
    assert datetime.now(UTC) - datetime.fromisoformat(line["timestamp"]) < timedelta(seconds=5)


def test_what_is_less_grave_than_the_level_is_left_out(stream: io.StringIO) -> None:
    configure_logging(load_settings({"TDS_LOG_LEVEL": "WARNING"}), process="api", stream=stream)
    log = get_logger("tds")
    for say in (log.debug, log.info, log.warning, log.error):
        say("happened")
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("happened")
    assert [line["level"] for line in lines(stream)] == ["warning", "error", "error"]
    with capture_logs() as seen:  # a test sees all of it, however the process is set up
        log.info("happened")
    assert [each["log_level"] for each in seen] == ["info"]


def test_libraries_speak_in_the_same_shape(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("it is %s", "late")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["process"]) == ("it is late", "some.library", "api")


@pytest.mark.parametrize(
    "key", ["refresh_token", "client_secret", "password", "Authorization", "email", "phone", "mobile", "api_key"]
)
def test_secrets_and_personal_data_are_redacted_at_any_depth(stream: io.StringIO, key: str) -> None:
    get_logger("tds").info("contact_seen", **{key: "hunter2"}, nested={"list": [{key: "hunter2"}]})
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0][key] == "[redacted]"


def test_passwords_and_tokens_inside_texts_are_redacted(stream: io.StringIO) -> None:
    get_logger("tds").warning("call_failed", error="at postgresql://tds:hunter2@db: Zoho-oauthtoken hunter2.x")
    try:
        raise ValueError("redis://:hunter2@localhost refused")
    except ValueError:
        get_logger("tds").exception("call_failed")
    assert "hunter2" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_a_lease_token_is_no_secret(stream: io.StringIO) -> None:
    get_logger("tds").info("claimed", lease_token=42)
    assert lines(stream)[0]["lease_token"] == 42


def test_a_slow_operation_is_flagged_and_a_quick_one_is_not(stream: io.StringIO) -> None:
    for seconds in (5.1, 4.9):
        get_logger("tds").info("page_read", duration_seconds=seconds)
    assert [line.get("slow", False) for line in lines(stream)] == [True, False]


def test_no_line_is_refused_for_what_it_holds(stream: io.StringIO) -> None:
    get_logger("tds").info("odd", half="\ud800", when=datetime(2026, 11, 22, tzinfo=UTC), many={1, 2}, deep={(1, 2): 3})
    get_logger("tds").info("odd", raw=b"\xff", size=float("inf"), name=object())
    assert len(lines(stream)) == 2
