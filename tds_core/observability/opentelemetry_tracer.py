"""OpenTelemetry spans with trace ids derived from correlation ids, sent by OTLP over HTTP.

OpenTelemetry is an optional extra: `tracing.start_tracing` imports this module only where TDS_OTLP_ENDPOINT is set.
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

from tds_core.observability.redaction import redact

# A group commit holds at most a hundred webhooks or so.
MOST_LINKS = 100
_EXPORT_INTERVAL_MS = 2000

_root: ContextVar[SpanContext | None] = ContextVar("root_span", default=None)


def root_span_of(correlation_id: str) -> SpanContext:
    """The root span of a correlation id's trace: the same in every process, whether or not it was recorded."""
    try:
        trace_id = int(correlation_id, 16) if len(correlation_id) == 32 else 0
    except ValueError:
        trace_id = 0
    trace_id = trace_id or int.from_bytes(blake2b(correlation_id.encode(), digest_size=16).digest())
    span_id = trace_id & ((1 << 64) - 1) or 1
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _IdGenerator(RandomIdGenerator):
    """Random ids, except for the root span of a trace."""

    def generate_trace_id(self) -> int:
        root = _root.get()
        return root.trace_id if root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        root = _root.get()
        return root.span_id if root else super().generate_span_id()


class OtelTracer:
    """The `tracing.Tracer` that hands its spans to an OpenTelemetry span processor."""

    def __init__(self, processor: SpanProcessor, *, percent: int, process: str) -> None:
        # The decision depends on the trace id alone, so every process samples the same traces.
        sampler = TraceIdRatioBased(percent / 100)
        resource = Resource.create({"service.name": "tds", "service.instance.id": process, "tds.process": process})
        self._provider = TracerProvider(
            sampler=sampler, resource=resource, id_generator=_IdGenerator(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tds")

    @contextmanager
    def span(
        self,
        name: str,
        *,
        correlation_id: str,
        linked_ids: Sequence[str],
        is_root: bool,
        attributes: dict[str, str | int | float | bool],
    ) -> Iterator[None]:
        """See `tracing.span`. Of an error only the class is recorded: its text may hold personal data."""
        current = trace.get_current_span().get_span_context()
        context, links = None, [Link(root_span_of(each)) for each in linked_ids[:MOST_LINKS]]
        token = None
        if is_root:
            context, token = Context(), _root.set(root_span_of(correlation_id))
        elif correlation_id and root_span_of(correlation_id).trace_id != current.trace_id:
            context = trace.set_span_in_context(NonRecordingSpan(root_span_of(correlation_id)), Context())
            links += [Link(current)] if current.is_valid else []
        try:
            span = self._tracer.start_span(name, context=context, links=links, attributes=redact(attributes))
        finally:
            if token is not None:
                _root.reset(token)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def close(self) -> None:
        """Send all pending spans."""
        self._provider.shutdown()


def otlp_tracer(endpoint: str, *, percent: int, process: str) -> OtelTracer:
    """A tracer that sends spans to an OTLP collector from a background thread; `percent` of traces are sampled."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    return OtelTracer(
        BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_INTERVAL_MS), percent=percent, process=process
    )
