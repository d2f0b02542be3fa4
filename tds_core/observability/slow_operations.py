"""Slow operations: a warning and a count of each that took longer than TDS_SLOW_SECONDS, statements among them."""

from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import Engine, event

from tds_core.observability.metrics import slow_operations

log = structlog.get_logger(__name__)

# Length of a statement in the log.
_STATEMENT_LENGTH = 120


class SlowOperations:
    """Reports operations slower than `limit_seconds`, which `configure_logging` sets from TDS_SLOW_SECONDS."""

    def __init__(self) -> None:
        self.limit_seconds = 5.0

    def observe(self, operation: str, seconds: float, **facts: Any) -> None:
        """Log and count `operation` if it took longer than the limit. `facts`: ids and names, never contents."""
        if seconds > self.limit_seconds:
            slow_operations.labels(operation).inc()
            log.warning("operation_slow", operation=operation, duration_seconds=round(seconds, 3), **facts)


#: This process's instance.
slow = SlowOperations()


def watch_statements(engine: Engine) -> None:
    """Report slow statements of `engine`, without their parameters."""

    @event.listens_for(engine, "before_cursor_execute")
    def began(_connection: Any, _cursor: Any, _statement: str, _params: Any, context: Any, _many: bool) -> None:
        if context is not None:
            context.tds_began = perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def ended(_connection: Any, _cursor: Any, statement: str, _params: Any, context: Any, _many: bool) -> None:
        began_at = getattr(context, "tds_began", None)
        if began_at is not None:
            seconds = perf_counter() - began_at
            if seconds > slow.limit_seconds:
                slow.observe("statement", seconds, statement=" ".join(statement.split())[:_STATEMENT_LENGTH])
