"""Spans by OpenTelemetry: named after correlation ids, free of contents, sent by OTLP over HTTP.

Imported only where TDS_OTLP_ENDPOINT is set: OpenTelemetry is an extra.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from tds_core.redaction import redact
from tds_core.tracing import Fact

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
    """See `tds_core.tracing.span`."""

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
        """See `tds_core.tracing.span`. An error's name is kept, its text may hold what is nobody's business."""
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
