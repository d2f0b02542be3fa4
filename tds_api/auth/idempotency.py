"""Requests that carry an Idempotency-Key: done once, answered the same each time they are sent."""

import re
from hashlib import blake2b
from io import BytesIO

import structlog
from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from tds_api.context import Context
from tds_core.auth import idempotency
from tds_core.auth.idempotency import StoredResponse
from tds_core.auth.principal import UnfitError
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
#: The headers of an answer whose secret is shown once: it stays in no cache and is not kept here.
ONCE = {"Cache-Control": "no-store"}
LARGEST_BODY = 1_048_576
_ACCEPTABLE = re.compile(r"[!-~]{1,200}")


def key_of(request: Request) -> str | None:
    """The key of a request, if it has one. Raises UnfitError for one that is none."""
    key = request.headers.get(HEADER)
    if key is not None and not _ACCEPTABLE.fullmatch(key):
        raise UnfitError(f"An {HEADER} is 1 to 200 visible ASCII characters.")
    return key


def answered_before(edge: Context, request: Request, *, caller: str, key: str) -> Response | None:
    """The answer to the same request sent before; None when this one is to be done. Raises what `begin` raises."""
    with session_scope(edge.engine) as session:
        kept = idempotency.begin(
            session, caller=caller, key=key, request_digest=_digest(request, edge.settings.secret_key)
        )
    if kept is None:
        return None
    response = Response(kept.body, kept.status, content_type=kept.content_type)
    response.headers[REPLAYED] = "true"
    return response


def keep(edge: Context, response: Response, *, caller: str, key: str) -> None:
    """Keep an answer for when the request is sent again; of one that holds a secret, only that it was given."""
    answer = StoredResponse(response.status_code, response.content_type or "", response.get_data())
    holds_secret = bool(response.cache_control.no_store)
    try:
        with session_scope(edge.engine) as session:
            idempotency.keep(session, caller=caller, key=key, answer=answer, holds_secret=holds_secret)
    except SQLAlchemyError as error:
        log.error("answer_not_kept", error=type(error).__name__)


def _digest(request: Request, secret: str) -> bytes:
    """What a request is known again by; keyed, for there may be a password in it."""
    limit, request.max_content_length = request.max_content_length, LARGEST_BODY
    body = request.get_data()
    request.max_content_length = limit
    # Whoever reads the body as a stream finds it there once more.
    request.environ["wsgi.input"] = BytesIO(body)
    request.__dict__.pop("stream", None)
    asked = f"{request.method} {request.full_path}\n{request.content_type or ''}\n".encode()
    key = blake2b(secret.encode(), digest_size=32, person=b"tds-idempotency").digest()
    return blake2b(asked + body, digest_size=32, key=key).digest()
