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
from tds_core.observability.metrics import watch
from tds_core.observability.redaction import Known, known, redact
from tds_core.terminal_text import shown, shown_json

Event = MutableMapping[str, Any]
# Libraries that tell at INFO what TDS tells better, or what nobody reads.
_QUIETER = (
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

    `process` names who speaks (api, worker, beat) unless the supervisor gave it a name of its own in TDS_PROCESS
    (worker-1). Calling it again replaces what was set.
    """
    process = os.environ.get("TDS_PROCESS") or process
    as_json = settings.log_format == "json"
    watch.limit_seconds = settings.slow_seconds
    secrets = known(settings.secrets())
    shared = _shared_processors(process=process, slow_seconds=settings.slow_seconds)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json, secrets)],
    )
    output = logging.StreamHandler(stream or sys.stderr)
    output.setFormatter(formatter)
    _omit_what_no_line_shows()
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(settings.log_level)
    for name in _QUIETER:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _omit_what_no_line_shows() -> None:
    """As Python's own guide to logging has it: who called, and in which thread, takes a fifth of the time of a line."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("sync_item_completed", outcome="created")`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _shared_processors(*, process: str, slow_seconds: float) -> list[Processor]:
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
    except (TypeError, ValueError):  # half a character, or a key that is no text: slower, and never refused
        return json.dumps({str(key): value for key, value in event.items()}, default=str)


def _spell_out(_logger: Any, _method: str, event: Event) -> Event:
    """Let the terminal obey nothing that an event quotes from outside; what is no text Python spells out."""
    return {key: shown(value) if isinstance(value, str) else value for key, value in event.items()}


def _rendering(as_json: bool, secrets: Known) -> list[Processor]:
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
