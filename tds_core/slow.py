"""What took too long: a warning of its own, and a count, for every operation over TDS_SLOW_SECONDS."""

from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import Engine, event

from tds_core import metrics

log = structlog.get_logger(__name__)

# Enough of a statement to find it.
_SHOWN = 120


class Watch:
    """Tells of what was slow; `limit_seconds` is this process's, set with its logs."""

    def __init__(self) -> None:
        self.limit_seconds = 5.0

    def tell(self, operation: str, seconds: float, **facts: Any) -> None:
        """Write a line if `operation` took longer than the limit. `facts` are ids and names, never contents."""
        if seconds > self.limit_seconds:
            metrics.slow_operations.labels(operation).inc()
            log.warning("operation_slow", operation=operation, duration_seconds=round(seconds, 3), **facts)


#: This process's.
watch = Watch()


def watch_statements(engine: Engine) -> None:
    """Have every statement of `engine` watched; its parameters are nobody's business."""

    @event.listens_for(engine, "before_cursor_execute")
    def began(_connection: Any, _cursor: Any, _statement: str, _given: Any, context: Any, _many: bool) -> None:
        if context is not None:
            context.tds_began = perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def ended(_connection: Any, _cursor: Any, statement: str, _given: Any, context: Any, _many: bool) -> None:
        began_at = getattr(context, "tds_began", None)
        if began_at is not None:
            seconds = perf_counter() - began_at
            if seconds > watch.limit_seconds:
                watch.tell("statement", seconds, statement=" ".join(statement.split())[:_SHOWN])
