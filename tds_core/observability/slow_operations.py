"""Slow operations: a warning and a count of each that took longer than TDS_SLOW_SECONDS, statements among them."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import Engine, event

from tds_core.observability.metrics import slow_operations
from tds_core.observability.query_classes import observe_query

log = structlog.get_logger(__name__)

# Length of a statement in the log.
_STATEMENT_LENGTH = 120


class SlowOperations:
    """Reports operations slower than TDS_SLOW_SECONDS, which `configure_logging` makes `read_limit` return."""

    def __init__(self) -> None:
        self.read_limit: Callable[[], float] = lambda: 5.0

    @property
    def limit_seconds(self) -> float:
        """The limit in force."""
        return self.read_limit()

    def observe(self, operation: str, seconds: float, **facts: Any) -> None:
        """Log and count `operation` if it took longer than the limit. `facts`: ids and names, never contents."""
        if seconds > self.limit_seconds:
            slow_operations.labels(operation).inc()
            log.warning("operation_slow", operation=operation, duration_seconds=round(seconds, 3), **facts)


#: This process's instance.
slow = SlowOperations()


def watch_statements(engine: Engine) -> None:
    """Measure the statements of `engine` by class, and report slow ones, without their parameters."""

    @event.listens_for(engine, "before_cursor_execute")
    def began(_connection: Any, _cursor: Any, _statement: str, _params: Any, context: Any, _many: bool) -> None:
        if context is not None:
            context.tds_began = perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def ended(_connection: Any, _cursor: Any, statement: str, _params: Any, context: Any, _many: bool) -> None:
        began_at = getattr(context, "tds_began", None)
        if began_at is not None:
            seconds = perf_counter() - began_at
            observe_query(statement, seconds)
            if seconds > slow.limit_seconds:
                slow.observe("statement", seconds, statement=" ".join(statement.split())[:_STATEMENT_LENGTH])
