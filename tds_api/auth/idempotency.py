"""Idempotency keys: a request with one is done once, and repeats get the stored response."""

import re
from hashlib import blake2b
from io import BytesIO

import structlog
from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from tds_api.process_context import Context
from tds_core.auth import idempotency
from tds_core.auth.idempotency import StoredResponse
from tds_core.auth.principal import InvalidArgumentError
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
#: Headers of a response with a secret that is shown once: no cache keeps it, and neither does this module.
SHOWN_ONCE = {"Cache-Control": "no-store"}
LARGEST_BODY = 1_048_576
_ACCEPTABLE = re.compile(r"[!-~]{1,200}")


def key_of(request: Request) -> str | None:
    """The idempotency key of a request, if it has one. Raises InvalidArgumentError for a malformed one."""
    key = request.headers.get(HEADER)
    if key is not None and not _ACCEPTABLE.fullmatch(key):
        raise InvalidArgumentError(f"An {HEADER} is 1 to 200 visible ASCII characters.")
    return key


def stored_response(context: Context, request: Request, *, caller: str, key: str) -> Response | None:
    """The stored response to the same request; None if this one is to be done. Raises as `begin` does."""
    with session_scope(context.engine) as session:
        stored = idempotency.begin(
            session, caller=caller, key=key, request_digest=_digest(request, context.settings.secret_key)
        )
    if stored is None:
        return None
    response = Response(stored.body, stored.status, content_type=stored.content_type)
    response.headers[REPLAYED] = "true"
    return response


def store(context: Context, response: Response, *, caller: str, key: str) -> None:
    """Store a response for repeats of the request; of one that holds a secret, only that there was one."""
    stored = StoredResponse(response.status_code, response.content_type or "", response.get_data())
    holds_secret = bool(response.cache_control.no_store)
    try:
        with session_scope(context.engine) as session:
            idempotency.store(session, caller=caller, key=key, response=stored, holds_secret=holds_secret)
    except SQLAlchemyError as error:
        log.error("answer_not_kept", error=type(error).__name__)


def _digest(request: Request, secret: str) -> bytes:
    """Digest by which a repeat is recognised; keyed, since the request may hold a password."""
    limit, request.max_content_length = request.max_content_length, LARGEST_BODY
    body = request.get_data()
    request.max_content_length = limit
    # Code that reads the body as a stream finds it there once more.
    request.environ["wsgi.input"] = BytesIO(body)
    request.__dict__.pop("stream", None)
    head = f"{request.method} {request.full_path}\n{request.content_type or ''}\n".encode()
    key = blake2b(secret.encode(), digest_size=32, person=b"tds-idempotency").digest()
    return blake2b(head + body, digest_size=32, key=key).digest()
