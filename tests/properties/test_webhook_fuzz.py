"""The receiver of webhooks promises an answer to whatever anybody sends: no crash, a reason for each refusal, and no
event accepted that cannot be read back and brought to its end.
"""

import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from structlog.testing import capture_logs

from tests.support.hypothesis_effort import effort
from tests.support.webhook_corpus import CORPUS, Request
from tests.support.webhook_sender import FORM, GENERIC, PATH, Sender, item, sender_for, wrapped
from tests.support.world import ScriptedSource, World

LARGEST = 20_000


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_WEBHOOK_MAX_BYTES=str(LARGEST * 100)) as sender:
        yield sender


def answer_to(sender: Sender, request: Request) -> tuple[int, dict[str, str], bytes]:
    """Put the request to the WSGI application as a server does. Status, headers by small letters, body."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.content_type,
        "CONTENT_LENGTH": str(len(request.body)),
        "SERVER_NAME": "tds.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if request.signed:
        environ["HTTP_X_ZOHO_WEBHOOK_SIGNATURE"] = request.signature()
    environ = {key: value for key, value in {**environ, **request.environ}.items() if value is not None}
    said: list[Any] = []
    body = b"".join(sender.app(environ, lambda status, headers, *_: said.append((status, headers))))
    [(status, headers)] = said
    return int(status[:3]), {name.lower(): value for name, value in headers}, body


def judge(sender: Sender, request: Request) -> None:
    """What is true of every answer."""
    status, headers, body = answer_to(sender, request)
    assert status < 500, body
    assert headers["x-correlation-id"] or 300 <= status < 400
    if status in (200, 202):
        _is_kept(sender, int(msgspec.json.decode(body)["event_id"]))
    elif status >= 400:
        _is_a_reason(sender, status, headers, body)


def _is_kept(sender: Sender, event_id: int) -> None:
    """An accepted event is there, can be read, and is owed work or has its verdict."""
    [event] = sender.rows(
        "select e.*, e.record::text as said, q.id as work_id from tds_inbox_events e"
        " left join tds_sync_queue q using (source, entity, source_id) where e.id = :id",
        id=event_id,
    )
    record = json.loads(event.said)
    assert isinstance(record, dict)
    assert event.source_id
    assert event.verdict or event.work_id
    shown = sender.get("/api/tds/zoho/webhooks/recent", source_id=event.source_id)
    assert str(event_id) in [each["id"] for each in shown.json["items"]]


def _is_a_reason(sender: Sender, status: int, headers: dict[str, str], body: bytes) -> None:
    """A refusal is a problem document; what was signed and not understood is kept."""
    problem = msgspec.json.decode(body)
    assert headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["type"]) == (status, f"urn:tds:problem:{problem['code']}")
    assert problem["title"] and problem["detail"]
    assert problem["correlation_id"] == headers["x-correlation-id"]
    if "event_id" in problem:
        [event] = sender.rows("select verdict from tds_inbox_events where id = :id", id=int(problem["event_id"]))
        assert event.verdict == "quarantined"


def kept_count(sender: Sender) -> int:
    return sender.count("tds_inbox_events") + sender.count("tds_rejected_deliveries")


def test_what_once_was_trouble_is_answered_as_anything_else_and_kept(sender: Sender) -> None:
    for name, request in CORPUS.items():
        with sender.engine.begin() as connection:
            connection.exec_driver_sql("delete from tds_inbox_fingerprints")
        before = kept_count(sender)
        judge(sender, request)
        if request.path.startswith(GENERIC):
            assert kept_count(sender) == before + 1, name


# Pieces of JSON as nobody's encoder writes them: names twice, numbers of any size, half characters, any nesting.

SCRAPS = st.sampled_from(
    ['"\\u0000"', '"\\ud800"', '"\\ud83e\\uddff"', "1e400", "-0.0", "1E-9999", "9" * 60, "0." + "1" * 60, "NaN", "01",
     "Infinity", "true", "null", "", " ", "[]", "{}", '""', "'a'", '"\x01"', '"\\x"', "[" * 70 + "]" * 70, "//"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["item", "items", "contact", "invoice", "item_id", "invoice_id", "contact_type", "name", "rate", "status", "data",
     "last_modified_time", "event_type", "event", "line_items", "custom_fields", "cf_x", "a\\u0000b", "\\ud800", ""]
)  # fmt: skip
VALUES = SCRAPS | st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=12).map(json.dumps),
    st.sampled_from([json.dumps(value) for value in item("1").values()] + ['"vendor"', '"item.updated"', '"7"']),
)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"


DOCUMENTS = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(st.tuples(WORDS, inner), max_size=7).map(_object)
        | st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]")
    ),
    max_leaves=25,
)
TEXTS = DOCUMENTS.map(lambda text: text.encode("utf-8", "surrogatepass"))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good body in which some bytes were changed, left out or put in."""
    body = bytearray(wrapped("1"))
    for place, change, more in draw(
        st.lists(st.tuples(st.integers(0, 150), st.integers(0, 2), st.binary(min_size=1, max_size=3)), max_size=4)
    ):
        body[place : place + change] = more
    return bytes(body)


ENCODED = st.tuples(TEXTS, st.sampled_from(("utf-16", "utf-32", "utf-8-sig", "latin-1"))).map(
    lambda both: both[0].decode("utf-8", "replace").encode(both[1], "replace")
)
FORMS = st.one_of(
    TEXTS.map(lambda text: b"JSONString=" + quote(text).encode()),
    st.lists(st.tuples(WORDS, st.binary(max_size=9)), max_size=5).map(
        lambda pairs: b"&".join(name.encode() + b"=" + quote(value).encode() for name, value in pairs)
    ),
    st.binary(max_size=60),
)
JSON_BODIES = TEXTS | damaged() | ENCODED | st.binary(max_size=60)
LATIN = st.text(st.characters(max_codepoint=255), max_size=15)
TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-16", "text/plain", "", "application/x+json", "text/xml",
     "multipart/form-data; boundary=x", "multipart/form-data", "APPLICATION/JSON;", f"{FORM};charset=latin-1"]
) | LATIN  # fmt: skip
PATHS = st.one_of(
    st.sampled_from([PATH, GENERIC, GENERIC + "/", f"{GENERIC}/invoice/deleted", f"{GENERIC}/customer/created"]),
    st.tuples(LATIN, LATIN).map(lambda names: f"{GENERIC}/{names[0]}/{names[1]}"),
    LATIN,
)
QUERIES = (
    st.sampled_from(["", "", "entity=product&event=deleted", "entity=%00&event=%ff", "&&=&=", "entity=item"]) | LATIN
)
ENVIRONS = st.dictionaries(
    st.sampled_from(["HTTP_X_TDS_EVENT", "HTTP_X_CORRELATION_ID", "HTTP_HOST", "HTTP_COOKIE", "HTTP_ACCEPT",
                     "HTTP_X_ZOHO_SIGNATURE", "HTTP_AUTHORIZATION", "HTTP_CONTENT_ENCODING", "HTTP_X_FORWARDED_FOR"]),
    LATIN,
    max_size=2,
)  # fmt: skip
LENGTHS = st.sampled_from(
    [{}, {}, {"CONTENT_LENGTH": None}, {"CONTENT_LENGTH": None, "wsgi.input_terminated": True}]
) | ((LATIN | st.integers().map(str)).map(lambda text: {"CONTENT_LENGTH": text}))
REQUESTS = st.one_of(
    st.builds(Request, body=JSON_BODIES, path=st.sampled_from([PATH, GENERIC])),
    st.builds(Request, body=FORMS, path=st.sampled_from([PATH, GENERIC]), content_type=st.just(FORM)),
    st.builds(
        Request,
        body=JSON_BODIES | FORMS,
        path=PATHS,
        query=QUERIES,
        content_type=TYPES,
        signed=st.booleans(),
        environ=st.builds(lambda headers, length: {**headers, **length}, ENVIRONS, LENGTHS),
    ),
)


def test_nothing_anybody_sends_is_answered_by_a_crash_and_all_that_is_accepted_ends_in_a_verdict(
    sender: Sender, world: World, source: ScriptedSource
) -> None:
    @effort(250)
    @given(REQUESTS)
    def send(request: Request) -> None:
        judge(sender, request)

    with capture_logs() as lines:
        send()
        for entity in {row["entity"] for row in world.rows("select distinct entity from tds_sync_queue")}:
            while world.drain(entity, make_due=True):
                pass
    verdicts = set(world.verdicts())
    assert None not in verdicts
    assert len(verdicts) >= 2, "of all that was sent nothing was accepted, or nothing refused"
    assert not [line for line in lines if line["event"] in ("sync_batch_failed", "sync_item_refused", "request_failed")]
