"""Structured logs: one line for one named event, in UTC, with the correlation id and without secrets."""

import json
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import Processor

from tds_core.config.settings import Settings
from tds_core.observability.redaction import KnownSecrets, known_secrets, redact
from tds_core.observability.slow_operations import slow
from tds_core.terminal_text import shown, shown_json

Event = MutableMapping[str, Any]
# Libraries whose INFO lines repeat TDS's own or are useless.
_WARNINGS_ONLY = (
    "urllib3",
    "werkzeug",
    "celery.redirected",
    "kombu",
    "alembic",
    "_granian",
    "granian.access",
)


def configure_logging(settings: Settings, *, process: str, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's events to one stream (standard error) in one shape.

    `process`: the name on each line (api, worker, beat), unless the supervisor set one in TDS_PROCESS (worker-1).
    Calling it again replaces the configuration.
    """
    process = os.environ.get("TDS_PROCESS") or process
    as_json = settings.log_format == "json"
    slow.limit_seconds = settings.slow_seconds
    secrets = known_secrets(settings.secrets())
    common = _common_processors(process=process, slow_seconds=settings.slow_seconds)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *common],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json, secrets)],
    )
    output = logging.StreamHandler(stream or sys.stderr)
    output.setFormatter(formatter)
    _omit_unused_fields()
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(settings.log_level)
    for name in _WARNINGS_ONLY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _omit_unused_fields() -> None:
    """Skip caller and thread, which cost a fifth of a line's time. Source: Python, "Logging HOWTO: Optimization"."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("sync_item_completed", outcome="created")`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _common_processors(*, process: str, slow_seconds: float) -> list[Processor]:
    def add_process(_logger: Any, _method: str, event: Event) -> Event:
        event.setdefault("process", process)
        return event

    def flag_slow(_logger: Any, _method: str, event: Event) -> Event:
        duration = event.get("duration_seconds")
        if isinstance(duration, int | float) and duration > slow_seconds:
            event["slow"] = True
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
        flag_slow,
    ]


def _as_json(event: Event, **_: Any) -> str:
    try:
        return shown_json(msgspec.json.encode(event, enc_hook=str).decode())
    except (TypeError, ValueError):  # a lone surrogate, or a key that is no text: slower, but never fails
        return json.dumps({str(key): value for key, value in event.items()}, default=str)


def _spell_out(_logger: Any, _method: str, event: Event) -> Event:
    """Escape control characters in texts, which may come from outside; other values Python escapes."""
    return {key: shown(value) if isinstance(value, str) else value for key, value in event.items()}


def _rendering(as_json: bool, secrets: KnownSecrets) -> list[Processor]:
    """Tracebacks become text before redaction, so that it sees them; locals are never shown."""
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_as_json)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )

    def redact_event(_logger: Any, _method: str, event: Event) -> Event:
        return redact(event, secrets)

    visible = [] if as_json else [_spell_out]
    return [structlog.processors.format_exc_info, redact_event, *visible, renderer]
