"""Requests that once broke a receiver of webhooks, or might: kept, and sent again in every run of the tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.webhook_sender import FORM, GENERIC, PATH, signature, wrapped

WHOLE = (
    b'{"item":{"item_id":"1","name":"x","rate":1,"status":"active","last_modified_time":"2026-11-22T09:30:00+0300"%s}}'
)


@dataclass(frozen=True)
class Request:
    """One request as a WSGI server hands it over; `environ` is put on top, a value of None takes a key away."""

    body: bytes = wrapped()
    path: str = PATH
    query: str = ""
    content_type: str = "application/json"
    signed: bool = True
    environ: Mapping[str, Any] = field(default_factory=dict)

    def signature(self) -> str:
        """What a sender with the secret would sign this with; a query or form it cannot read is signed by nobody."""
        form = self.content_type.startswith(FORM) and self.body.lstrip()[:1] != b"{"
        return signature(self.body, query=self.query, form=self.body.decode("latin-1") if form else "")


def _with(more: bytes) -> bytes:
    return WHOLE % (b"," + more)


CORPUS: dict[str, Request] = {
    "a superscript for a length": Request(environ={"CONTENT_LENGTH": "\xb2"}),
    "a length of five thousand digits": Request(environ={"CONTENT_LENGTH": "9" * 5000}),
    "a length beyond the table's": Request(environ={"CONTENT_LENGTH": str(2**31)}),
    "a negative length": Request(environ={"CONTENT_LENGTH": "-5"}),
    "a signed length": Request(environ={"CONTENT_LENGTH": "+5"}),
    "a length in words": Request(environ={"CONTENT_LENGTH": "many"}),
    "no length at all": Request(environ={"CONTENT_LENGTH": None}),
    "chunks without a length": Request(environ={"CONTENT_LENGTH": None, "wsgi.input_terminated": True}),
    "chunks of nothing": Request(body=b"", environ={"CONTENT_LENGTH": None, "wsgi.input_terminated": True}),
    "shorter than announced": Request(environ={"CONTENT_LENGTH": "100000"}),
    "longer than announced": Request(environ={"CONTENT_LENGTH": "10"}),
    "half a character in the event's name": Request(
        path=GENERIC, body=b'{"event_type":"\\ud800.updated","item":{"item_id":"1"}}'
    ),
    "half a character in a key": Request(body=_with(b'"\\udc00":1')),
    "half a character in an id": Request(body=b'{"item":{"item_id":"\\ud800"}}'),
    "half a character in the time": Request(body=b'{"item":{"item_id":"1","last_modified_time":"\\ud800"}}'),
    "half a character in the kind": Request(
        path=GENERIC, body=b'{"contact":{"contact_id":"1","contact_type":"\\udfff"}}'
    ),
    "a NUL in the event's name": Request(path=GENERIC, body=b'{"event_type":"it\\u0000em.x","item":{"item_id":"1"}}'),
    "a NUL in the header's event": Request(path=GENERIC, environ={"HTTP_X_TDS_EVENT": "prod\x00uct.updated"}),
    "a strange header's event": Request(path=GENERIC, environ={"HTTP_X_TDS_EVENT": "\xff\xfe.\xed\xa0\x80"}),
    "a key twice": Request(body=_with(b'"item_id":"2"')),
    "a wrapper twice": Request(body=b'{"item":{"item_id":"1"},"item":{"item_id":"2"}}'),
    "a wrapper twice, once no object": Request(body=b'{"item":{"item_id":"1"},"item":5}'),
    "a number of many digits": Request(body=_with(b'"rate":' + b"9" * 4000)),
    "a number beyond floats": Request(body=_with(b'"rate":1e400')),
    "a number beyond numeric": Request(body=_with(b'"rate":1e200000')),
    "a number next to nothing": Request(body=_with(b'"rate":1e-20000')),
    "minus nothing": Request(body=_with(b'"rate":-0.0')),
    "a time before time": Request(body=_with(b'"last_modified_time":"0001-01-01T00:00:00+1400"')),
    "a time after time": Request(body=_with(b'"last_modified_time":"9999-12-31T23:59:59-1200"')),
    "a time with seconds in its zone": Request(body=_with(b'"last_modified_time":"2026-11-22T09:30:00+03:00:30"')),
    "a time in the year one": Request(body=_with(b'"last_modified_time":"0001-01-01T00:00:00+0000"')),
    "nesting as deep as allowed": Request(body=_with(b'"deep":' + b"[" * 62 + b"]" * 62)),
    "nesting one deeper": Request(body=_with(b'"deep":' + b"[" * 63 + b"]" * 63)),
    "nesting without an end": Request(body=b'{"item":' * 200_000),
    "UTF-16": Request(body=wrapped().decode().encode("utf-16"), content_type="application/json; charset=utf-16"),
    "gzip announced": Request(environ={"HTTP_CONTENT_ENCODING": "gzip"}),
    "a form announced as JSON": Request(body=b"JSONString=%7B%7D"),
    "a form of percents": Request(body=b"%=%%&%zz=%f", content_type=FORM),
    "a form with a NUL": Request(body=b"item_id=1&name=%00", content_type=FORM),
    "a form with two JSONStrings": Request(body=b"JSONString=%7B%7D&JSONString=5", content_type=FORM),
    "a form and brackets": Request(body=b"  {", content_type=FORM),
    "a content type of bytes": Request(content_type='\xff/\xfe; a="\x7f'),
    "a query of bytes": Request(query="\xff=%ff&entity=%00", path=GENERIC),
    "an entity of bytes in the address": Request(path="/api/tds/zoho/webhooks/\xff\xfe/updated"),
    "an entity of a thousand letters": Request(path=f"{GENERIC}/{'x' * 1000}/updated"),
    "an address with a line's end": Request(path=f"{GENERIC}/product/upd\nated"),
    "no address": Request(path=""),
    "a strange correlation id": Request(environ={"HTTP_X_CORRELATION_ID": "a\nb"}),
    "a signature of no letters": Request(environ={"HTTP_X_ZOHO_WEBHOOK_SIGNATURE": "\xb2" * 64}),
    "an id of odd signs": Request(body=b'{"item":{"item_id":"a/../%00\\"\'"}}'),
    "an item in an item": Request(body=b'{"data":{"item":{"item":' + b'{"item_id":"1"}' + b"}}}", path=GENERIC),
    "whole and large": Request(body=wrapped("1", description="\U0001f9ff" * 100_000)),
    "values of the wrong kinds": Request(body=wrapped("1", name=[1], rate={"a": 1}, status=None, sku=5)),
}
