"""Tracing: spans of one trace for each webhook, from its receipt to its row and the call to Zoho.

The trace id is derived from the correlation id, which events, work items and runs carry anyway, so nothing more is
stored. While TDS_OTLP_ENDPOINT is unset, spans cost nothing and OpenTelemetry, an optional extra, is not imported.
"""

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from tds_core.config.settings import Settings
from tds_core.errors import ConfigError

Attribute = str | int | float | bool
_NO_SPAN = nullcontext()


class Tracer(Protocol):
    """What starts spans; see `opentelemetry_tracer`."""

    def span(
        self,
        name: str,
        *,
        correlation_id: str,
        linked_ids: Sequence[str],
        is_root: bool,
        attributes: dict[str, Attribute],
    ) -> AbstractContextManager[None]:
        """See `span`."""
        ...

    def close(self) -> None:
        """Send all pending spans."""
        ...


class Tracing:
    """Holds this process's tracer, None while tracing is off."""

    tracer: Tracer | None = None


tracing = Tracing()


def start_tracing(settings: Settings, *, process: str) -> None:
    """Start tracing if TDS_OTLP_ENDPOINT is set. Call it in the process that does the work, after any fork.

    Raises `ConfigError` when the extra is not installed.
    """
    if not settings.otlp_endpoint:
        return
    try:
        # By name, since OpenTelemetry may not be installed.
        otel = importlib.import_module("tds_core.observability.opentelemetry_tracer")
    except ImportError as error:
        raise ConfigError(f"TDS_OTLP_ENDPOINT needs: pip install 'tds[otel]' ({error.name} is missing).") from None
    tracing.tracer = otel.otlp_tracer(settings.otlp_endpoint, percent=settings.trace_percent, process=process)


def stop_tracing() -> None:
    """Send all pending spans and stop tracing."""
    if tracing.tracer is not None:
        tracing.tracer.close()
    tracing.tracer = None


def is_on() -> bool:
    """Whether this process traces."""
    return tracing.tracer is not None


def span(
    name: str,
    *,
    correlation_id: str = "",
    linked_ids: Sequence[str] = (),
    is_root: bool = False,
    **attributes: Attribute,
) -> AbstractContextManager[None]:
    """A span that lasts as long as the block, in the trace of `correlation_id`, or if "" in the current trace.

    `linked_ids`: other correlation ids the block works for. `is_root`: it is the first span of its trace.
    `attributes`: ids, names and numbers, never contents of records.
    """
    if tracing.tracer is None:
        return _NO_SPAN
    return tracing.tracer.span(
        name, correlation_id=correlation_id, linked_ids=linked_ids, is_root=is_root, attributes=attributes
    )
