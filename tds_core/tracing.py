"""Traces, for those who want them: one trace for a webhook, from its first byte to the row and the call to Zoho.

The name of a trace is made from the correlation id, which travels with every event, work item and run already. So
nothing has to be stored for it, and while TDS_OTLP_ENDPOINT is unset there is nothing to pay: what makes spans is not
even imported.
"""

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from tds_core.config import Settings
from tds_core.errors import ConfigError

Fact = str | int | float | bool
_NOTHING = nullcontext()


class Tracer(Protocol):
    """What makes spans."""

    def span(
        self, name: str, *, thread: str, also: Sequence[str], begins: bool, facts: dict[str, Fact]
    ) -> AbstractContextManager[None]:
        """See `span`."""
        ...

    def close(self) -> None:
        """Send what was not sent yet."""
        ...


class Tracing:
    """This process's tracer, if it has one."""

    tracer: Tracer | None = None


tracing = Tracing()


def start_tracing(settings: Settings, *, process: str) -> None:
    """Trace from now on, if the settings say where to. Call it in the process that does the work, after any fork.

    Raises ConfigError when the extra is not installed.
    """
    if not settings.otlp_endpoint:
        return
    try:
        telemetry = importlib.import_module("tds_core.telemetry")  # imports an extra that most do not install
    except ImportError as error:
        raise ConfigError(f"TDS_OTLP_ENDPOINT needs: pip install 'tds[otel]' ({error.name} is missing).") from None
    tracing.tracer = telemetry.exporting(settings.otlp_endpoint, percent=settings.trace_percent, process=process)


def stop_tracing() -> None:
    """Send what was not sent yet, and trace no more."""
    if tracing.tracer is not None:
        tracing.tracer.close()
    tracing.tracer = None


def is_on() -> bool:
    """Whether this process traces."""
    return tracing.tracer is not None


def span(
    name: str, *, thread: str = "", also: Sequence[str] = (), begins: bool = False, **facts: Fact
) -> AbstractContextManager[None]:
    """A span for as long as the block runs: in the trace of correlation id `thread`, else in that of the span at hand.

    `also`: other correlation ids it works for. `begins`: it is the trace's first. `facts` are ids, names and numbers.
    """
    if tracing.tracer is None:
        return _NOTHING
    return tracing.tracer.span(name, thread=thread, also=also, begins=begins, facts=facts)
