"""Faulty responses: gateway pages, cut and slow bodies, connections that break off."""

import re
import time
from collections.abc import Iterator
from zlib import crc32

import msgspec
from flask import Response, request

from zoho_sandbox.api_errors import (
    RefusalError,
    internal,
    too_many_at_once,
    too_many_per_day,
    too_many_per_minute,
    unauthorized,
    wrong_organization,
)
from zoho_sandbox.api_faults import Appointment
from zoho_sandbox.json_responses import refusal_answer
from zoho_sandbox.outage import Kind, Outage

# Set in the WSGI environment when a body must go out piece by piece.
STREAMED = "zoho_sandbox.streamed"
_GATEWAYS = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
_SLOW_PIECES = 10
_FULL_PAGE = 200
_PAGE_CONTEXT = re.compile(rb',"page_context":\{[^}]*\}')


class CutError(RuntimeError):
    """Raised while a body is sent, so that the server drops the connection."""


def early_answer(fault: Appointment, calls_per_day: int) -> Response | None:
    """The answer of a fault that needs no real one; None when the fault spoils the real answer instead."""
    refusals: dict[str, RefusalError] = {
        "error_500": internal(),
        "rate_minute": too_many_per_minute(),
        "rate_day": too_many_per_day(calls_per_day),
        "concurrency": too_many_at_once(),
        "unauthorized": unauthorized(),
        "refusal": RefusalError(fault.status, fault.code, fault.message),
        "not_associated": wrong_organization(request.args.get("organization_id", "")),
    }
    if fault.kind in refusals:
        return refusal_answer(refusals[fault.kind])
    if fault.kind.startswith("html_"):
        return _gateway_page(int(fault.kind.removeprefix("html_")))
    if fault.kind == "reset":
        return _cut()
    if fault.kind == "delay":
        time.sleep(fault.seconds)
    return None


def spoil(fault: Appointment, answer: Response) -> Response:
    """The real answer, cut short, slowed down or without its page context."""
    body = answer.get_data()
    if fault.kind == "truncated":
        return Response(body[: max(len(body) // 2, 1)], answer.status_code, content_type=answer.content_type)
    if fault.kind in _REWRITTEN:
        return Response(_REWRITTEN[fault.kind](fault, body), answer.status_code, content_type=answer.content_type)
    if fault.kind == "no_page_context":
        body = _PAGE_CONTEXT.sub(b"", body)
        return Response(body, answer.status_code, content_type=answer.content_type)
    if fault.kind.startswith("listing_"):
        return Response(_mutilated(fault.kind, body), answer.status_code, content_type=answer.content_type)
    if fault.kind == "slow_body":
        request.environ[STREAMED] = True
        slow = Response(_slowly(body, fault.seconds), answer.status_code, content_type=answer.content_type)
        slow.headers["Content-Length"] = str(len(body))
        return slow
    return answer


def outage_fault(outage: Outage, kind: Kind) -> Appointment:
    """The fault every call meets while the API is away."""
    if kind == "hanging":
        outage.hang()
    return Appointment({"hanging": "reset", "html": "html_503"}.get(kind, kind))


def _mutilated(kind: str, body: bytes) -> bytes:
    """A list answer that looks well: ended too early, empty, or without half of its rows (always the same ones)."""
    answer = msgspec.json.decode(body)
    if kind in {"listing_cut", "listing_empty"}:
        answer["page_context"]["has_more_page"] = False
    [plural] = [key for key, value in answer.items() if isinstance(value, list)]
    if kind == "listing_empty":
        answer[plural] = []
    elif kind == "listing_halved":
        # A row's first key is its id.
        answer[plural] = [row for row in answer[plural] if crc32(next(iter(row.values())).encode()) % 2]
    return msgspec.json.encode(answer)


def _without_record(_fault: Appointment, _body: bytes) -> bytes:
    """All is well, and nothing more."""
    return b'{"code":0,"message":"success"}'


def _other_record(_fault: Appointment, body: bytes) -> bytes:
    """The records asked for under ids that nobody asked for."""
    answer = msgspec.json.decode(body)
    for value in answer.values():
        for record in [value] if isinstance(value, dict) else value if isinstance(value, list) else ():
            key = next(iter(record))
            if key.endswith("_id"):
                record[key] = str(int(record[key]) + 1)
    return msgspec.json.encode(answer)


def _padded(fault: Appointment, body: bytes) -> bytes:
    """The answer with blanks in front: a detail grows by all of it, a list by its share of 200 rows."""
    rows = int(request.args.get("per_page", _FULL_PAGE))
    return b" " * ((fault.mib << 20) * rows // _FULL_PAGE) + body


_REWRITTEN = {"no_record": _without_record, "other_record": _other_record, "padded": _padded}


def _gateway_page(status: int) -> Response:
    words = _GATEWAYS.get(status, "Error")
    page = (
        f"<html>\r\n<head><title>{status} {words}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {words}</h1></center>\r\n<hr><center>ZGS</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(page, status, content_type="text/html")


def _slowly(body: bytes, seconds: float) -> Iterator[bytes]:
    step = max(len(body) // _SLOW_PIECES, 1)
    for start in range(0, len(body), step):
        time.sleep(seconds / _SLOW_PIECES)
        yield body[start : start + step]


def _cut() -> Response:
    request.environ[STREAMED] = True

    def broken() -> Iterator[bytes]:
        yield b'{"code":0,'
        raise CutError("connection dropped on request")

    answer = Response(broken(), 200, content_type="application/json;charset=UTF-8")
    answer.headers["Content-Length"] = "4096"
    return answer
