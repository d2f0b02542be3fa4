"""Structured logs: one line for one named event, in UTC, with the correlation id and without secrets."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import Processor

from tds_core.config.settings import Settings
from tds_core.observability.redaction import KnownSecrets, known_secrets, redact
from tds_core.observability.slow_operations import slow
from tds_core.terminal_text import shown, shown_json

Event = MutableMapping[str, Any]
_GRAVITIES = {
    "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING,
    "error": logging.ERROR, "exception": logging.ERROR, "critical": logging.CRITICAL, "fatal": logging.CRITICAL,
}  # fmt: skip
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
    slow.read_limit = lambda: settings.slow_seconds
    secrets = known_secrets(settings.secrets())
    common, rendering = _common_processors(process=process), _rendering(as_json, secrets)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.PositionalArgumentsFormatter(), *common],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    output = logging.StreamHandler(stream or sys.stderr)
    output.setFormatter(formatter)
    structlog.configure(
        processors=[drop_below(settings.log_level), *common, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=partial(LineLogger, output),
        cache_logger_on_first_use=False,
    )
    _omit_unused_fields()
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(settings.log_level)
    for name in _WARNINGS_ONLY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def drop_below(level: str) -> Processor:
    """The processor that lets pass what is at least as grave; as one, it goes where all processors are replaced."""
    least: int = logging.getLevelName(level)
    passing = frozenset(method for method, gravity in _GRAVITIES.items() if gravity >= least)

    def drop(_logger: Any, method: str, event: Event) -> Event:
        if method not in passing:
            raise structlog.DropEvent
        return event

    return drop


class LineLogger:
    """Writes rendered lines to the stream of a handler, under its lock, beside the lines of other libraries.

    TDS's own events take this way past the records of the standard library, which double what a line costs.
    """

    __slots__ = ("_handler", "name")

    def __init__(self, handler: "logging.StreamHandler[TextIO]", name: str = "") -> None:
        self._handler, self.name = handler, name

    def msg(self, line: str) -> None:
        """Write one line. A stream that takes nothing costs the line and raises nothing, as with every handler."""
        handler = self._handler
        with contextlib.suppress(OSError, ValueError):
            handler.acquire()
            try:
                handler.stream.write(f"{line}\n")
                handler.flush()
            finally:
                handler.release()

    debug = info = warning = error = critical = fatal = exception = msg


def _omit_unused_fields() -> None:
    """Skip caller and thread, which cost a fifth of a line's time. Source: Python, "Logging HOWTO: Optimization"."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("sync_item_completed", outcome="created")`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _common_processors(*, process: str) -> list[Processor]:
    def add_process(_logger: Any, _method: str, event: Event) -> Event:
        event.setdefault("process", process)
        return event

    def flag_slow(_logger: Any, _method: str, event: Event) -> Event:
        duration = event.get("duration_seconds")
        if isinstance(duration, int | float) and duration > slow.limit_seconds:
            event["slow"] = True
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
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
