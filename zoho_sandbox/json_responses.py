"""JSON responses: the bodies and headers every answer of the API is made of."""

from typing import Any

import msgspec
from flask import Response

from zoho_sandbox.api_errors import RefusalError

JSON_TYPE = "application/json;charset=UTF-8"
_encode = msgspec.json.Encoder().encode


def json_answer(body: Any, status: int = 200) -> Response:
    return Response(_encode(body), status=status, content_type=JSON_TYPE)


def encoded_answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status=status, content_type=JSON_TYPE)


def single_answer(key: str, detail: bytes, message: str = "success", status: int = 200) -> Response:
    """The envelope around one record."""
    head = _encode({"code": 0, "message": message})[:-1]
    return encoded_answer(head + b',"' + key.encode() + b'":' + detail + b"}", status)


def refusal_answer(refusal: RefusalError) -> Response:
    return json_answer({"code": refusal.code, "message": refusal.message}, refusal.status)
