"""Parsing of control requests: JSON in, and plain words when it does not fit."""

from typing import Any, TypeVar

import msgspec
from flask import Response, request

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.json_responses import json_answer, refusal_answer

T = TypeVar("T")


def body_as(kind: type[T]) -> T:
    """The request's JSON as `kind`; ValueError (answered with 400) says what does not fit."""
    raw = request.get_data() or b"{}"
    return msgspec.json.decode(raw, type=kind)


def answer_bad_input(error: Exception) -> Response:
    return json_answer({"error": str(error)}, 400)


def answer_refusal(refusal: RefusalError) -> Response:
    return refusal_answer(refusal)


def changed(current: Any, wanted: dict[str, Any], kind: type[T]) -> T:
    """A copy of a settings struct with some fields set anew; ValueError for an unknown field or a bad value."""
    known = msgspec.structs.asdict(current)
    if unknown := set(wanted) - set(known):
        raise ValueError(f"unknown {sorted(unknown)}; known are {', '.join(known)}")
    return msgspec.convert(known | wanted, kind)
