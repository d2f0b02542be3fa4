"""Traces, for those who want them: one trace for a webhook, from its first byte to the row and the call to Zoho.

The name of a trace is made from the correlation id, which travels with every event, work item and run already. So
nothing has to be stored for it, and while TDS_OTLP_ENDPOINT is unset there is nothing to pay: what makes spans is not
even imported.

Spans by OpenTelemetry: named after correlation ids, free of contents, sent by OTLP over HTTP.

Imported only where TDS_OTLP_ENDPOINT is set: OpenTelemetry is an extra.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from hashlib import blake2b
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from tds_core.config.settings import Settings
from tds_core.errors import ConfigError
from tds_core.observability.redaction import redact

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
        telemetry = importlib.import_module(
            "tds_core.observability.tracing"
        )  # imports an extra that most do not install
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


# A burst of a hundred webhooks is worked off together.
MOST_LINKS = 100
_SENT_EVERY_MS = 2000

_first: ContextVar[SpanContext | None] = ContextVar("first_span", default=None)


def beginning_of(thread: str) -> SpanContext:
    """The first span of the trace of a correlation id: the same in every process, whether or not it was recorded."""
    try:
        trace_id = int(thread, 16) if len(thread) == 32 else 0
    except ValueError:
        trace_id = 0
    trace_id = trace_id or int.from_bytes(blake2b(thread.encode(), digest_size=16).digest())
    span_id = trace_id & ((1 << 64) - 1) or 1
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _Names(RandomIdGenerator):
    """Random, but for the first span of a trace."""

    def generate_trace_id(self) -> int:
        first = _first.get()
        return first.trace_id if first else super().generate_trace_id()

    def generate_span_id(self) -> int:
        first = _first.get()
        return first.span_id if first else super().generate_span_id()


class OtelTracer:
    """See `tds_core.observability.tracing.span`."""

    def __init__(self, processor: SpanProcessor, *, percent: int, process: str) -> None:
        # By its name a trace is kept or left out alike in every process.
        sampler = TraceIdRatioBased(percent / 100)
        about = Resource.create({"service.name": "tds", "service.instance.id": process, "tds.process": process})
        self._provider = TracerProvider(sampler=sampler, resource=about, id_generator=_Names(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tds")

    @contextmanager
    def span(
        self, name: str, *, thread: str, also: Sequence[str], begins: bool, facts: dict[str, Fact]
    ) -> Iterator[None]:
        """See `span`. An error's name is kept, its text may hold what is nobody's business."""
        here = trace.get_current_span().get_span_context()
        within, links = None, [Link(beginning_of(each)) for each in also[:MOST_LINKS]]
        token = None
        if begins:
            within, token = Context(), _first.set(beginning_of(thread))
        elif thread and beginning_of(thread).trace_id != here.trace_id:
            within = trace.set_span_in_context(NonRecordingSpan(beginning_of(thread)), Context())
            links += [Link(here)] if here.is_valid else []
        try:
            span = self._tracer.start_span(name, context=within, links=links, attributes=redact(facts))
        finally:
            if token is not None:
                _first.reset(token)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


def exporting(endpoint: str, *, percent: int, process: str) -> OtelTracer:
    """A tracer that sends spans to an OTLP collector, from a thread of its own."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    return OtelTracer(
        BatchSpanProcessor(exporter, schedule_delay_millis=_SENT_EVERY_MS), percent=percent, process=process
    )
