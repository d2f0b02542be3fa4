"""Traces: one from a webhook to the call to Zoho, without contents; and nothing at all when nobody asks for them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Engine

from tds_core.observability.opentelemetry_tracer import OtelTracer, root_span_of
from tds_core.observability.tracing import span, tracing
from tests.support.standin import StandIn
from tests.support.webhook_sender import SECRET, Sender, sender_for, wrapped
from tests.support.world import World

THREAD = "0af7651916cd43dd8448eb211c80319c"
OTHER = "5bd66ef5095369c7b0d1f8f4bd33716a"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What this process's spans end up in."""
    kept = InMemorySpanExporter()
    tracing.tracer = OtelTracer(SimpleSpanProcessor(kept), percent=100, process="test")
    yield kept
    tracing.tracer.close()
    tracing.tracer = None


@pytest.fixture
def sender(database: str, engine: Engine, spans: InMemorySpanExporter) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [each for each in spans.get_finished_spans() if each.name == name]


def trace_of(found: ReadableSpan) -> str:
    return f"{found.context.trace_id:032x}"


def hint(source_id: str) -> bytes:
    """A webhook that says of which record, and too little of what: the record has to be read."""
    return b'{"item": {"item_id": "%s", "last_modified_time": "2026-11-22T09:30:00+0300"}}' % source_id.encode()


def test_one_trace_leads_from_the_webhook_to_the_call_to_zoho(
    sender: Sender, synced: World, standin: StandIn, spans: InMemorySpanExporter
) -> None:
    [source_id] = standin.ids("items")[:1]
    answer = sender.send(hint(source_id), headers={"X-Correlation-Id": THREAD})
    assert (answer.status_code, answer.headers["X-Correlation-Id"]) == (202, THREAD)
    synced.drain("product")
    [webhook], [batch] = named(spans, "webhook"), named(spans, "sync batch")
    [call], [settled] = named(spans, "zoho call"), named(spans, "item settled")
    assert {trace_of(each) for each in (webhook, batch, call, settled)} == {THREAD}
    assert webhook.parent is None
    assert batch.parent is not None
    assert call.parent is not None
    assert (batch.parent.span_id, call.parent.span_id) == (webhook.context.span_id, batch.context.span_id)
    assert (settled.attributes or {})["outcome"] == "created"
    told = repr([(each.attributes, each.events, each.status.description) for each in spans.get_finished_spans()])
    assert SECRET not in told
    assert "oauthtoken" not in told


def test_webhooks_that_are_worked_off_together_keep_their_own_traces(
    sender: Sender, synced: World, spans: InMemorySpanExporter
) -> None:
    for number, thread in enumerate((THREAD, OTHER)):
        sender.send(wrapped(str(number + 1)), headers={"X-Correlation-Id": thread})
    synced.drain("product")
    [batch] = named(spans, "sync batch")
    others = {f"{link.context.trace_id:032x}" for link in batch.links}
    assert {trace_of(batch)} | others == {THREAD, OTHER}
    assert {trace_of(each) for each in named(spans, "item settled")} == {THREAD, OTHER}


def test_a_correlation_id_of_any_shape_names_one_trace_everywhere(spans: InMemorySpanExporter) -> None:
    with span("first", correlation_id="order-17", is_root=True):
        pass
    with span("later", correlation_id="order-17"):
        pass
    [first], [later] = named(spans, "first"), named(spans, "later")
    assert trace_of(first) == trace_of(later) == f"{root_span_of('order-17').trace_id:032x}"
    assert later.parent is not None
    assert later.parent.span_id == first.context.span_id


def test_an_error_leaves_its_name_and_not_its_text(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="hunter2"), span("failing"):
        raise ValueError("hunter2")
    [failing] = named(spans, "failing")
    assert failing.status.description == "ValueError"
    assert failing.events == ()


def test_every_process_keeps_the_same_share_of_traces() -> None:
    kept = []
    for _ in range(2):
        exporter = InMemorySpanExporter()
        tracer = OtelTracer(SimpleSpanProcessor(exporter), percent=20, process="test")
        for number in range(500):
            with tracer.span("x", correlation_id=f"thread {number}", linked_ids=(), is_root=True, attributes={}):
                pass
        kept.append({each.context.trace_id for each in exporter.get_finished_spans()})
        tracer.close()
    assert kept[0] == kept[1]
    assert 50 < len(kept[0]) < 150


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP collector's address, and what was posted to it."""
    posted: list[bytes] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.path.encode() + b" " + self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Taking)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", posted
    server.shutdown()


TRACED = """
from tds_core.config.settings import load_settings
from tds_core.observability.tracing import span, start_tracing, stop_tracing
start_tracing(load_settings(), process="worker-1")
with span("outer", correlation_id="order-17", entity="product"):
    pass
stop_tracing()
"""


def test_a_process_sends_its_spans_to_the_collector_the_settings_name(collector: tuple[str, list[bytes]]) -> None:
    url, posted = collector
    subprocess.run([sys.executable, "-c", TRACED], env={**os.environ, "TDS_OTLP_ENDPOINT": url}, check=True)
    [(path, _, body)] = [each.partition(b" ") for each in posted]
    assert path == b"/v1/traces"
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["tds.process"] == "worker-1"
    assert [each.name for each in resource.scope_spans[0].spans] == ["outer"]


def test_who_does_not_ask_for_traces_does_not_even_load_them(database: str) -> None:
    parts = "['tds_core.observability.opentelemetry_tracer', 'opentelemetry.exporter']"
    program = (
        f"import sys, tds_api.wsgi, tds_tasks.work_batches\nprint([name for name in {parts} if name in sys.modules])"
    )
    params = {"TDS_DATABASE_URL": database, "TDS_OTLP_ENDPOINT": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **params}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert span("anything") is span("something else", correlation_id=THREAD)
