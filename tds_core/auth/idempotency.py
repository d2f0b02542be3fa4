"""Idempotency: stores responses for a day by Idempotency-Key, so that a request sent twice is done once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_models.auth import IdempotencyRecord

STORED_SECONDS = 86_400
# A request without a response after this died with its process, and may be sent again.
RESPONSE_SECONDS = 300


class KeyReusedError(TdsError):
    """The Idempotency-Key belongs to another request."""

    code = "idempotency_key_reused"


class RequestInProgressError(TdsError):
    """The first request with this Idempotency-Key has no response yet."""

    code = "request_in_progress"
    retriable = True


class ResponseNotStoredError(TdsError):
    """The request was done before; its response held a secret and is not stored."""

    code = "answer_not_kept"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to a request."""

    status: int
    content_type: str
    body: bytes


def begin(session: Session, *, caller: str, key: str, request_digest: bytes) -> StoredResponse | None:
    """Claim `key` for a request. Returns the response it got before; None when it is to be done now.

    Raises KeyReusedError for another request under the same key, RequestInProgressError while the first one has no
    response, ResponseNotStoredError when its response held a secret.
    """
    now = func.now()
    claim = insert(IdempotencyRecord).values(
        caller=caller, key=key, request_digest=request_digest, expires_at=now + timedelta(seconds=STORED_SECONDS)
    )
    died = IdempotencyRecord.status.is_(None) & (IdempotencyRecord.began_at < now - timedelta(seconds=RESPONSE_SECONDS))
    empty: dict[str, Any] = {"status": None, "content_type": None, "body": None, "began_at": now}
    claim = claim.on_conflict_do_update(
        index_elements=[IdempotencyRecord.caller, IdempotencyRecord.key],
        set_={**empty, "request_digest": request_digest, "expires_at": claim.excluded.expires_at},
        where=or_(IdempotencyRecord.expires_at <= now, died),
    )
    if session.execute(claim.returning(IdempotencyRecord.key)).first():
        return None
    stored = session.execute(
        select(IdempotencyRecord).where(IdempotencyRecord.caller == caller, IdempotencyRecord.key == key)
    ).scalar_one()
    if bytes(stored.request_digest) != request_digest:
        raise KeyReusedError("This Idempotency-Key was sent with another request. Give each request its own.")
    if stored.status is None:
        raise RequestInProgressError(
            "The first request with this Idempotency-Key is still in progress. Send it again later."
        )
    if stored.body is None:
        raise ResponseNotStoredError(
            "This request was done before; its response held a secret, which was shown once and is not stored."
        )
    return StoredResponse(stored.status, stored.content_type or "application/json", bytes(stored.body))


def store(session: Session, *, caller: str, key: str, response: StoredResponse, holds_secret: bool) -> None:
    """Store the response to a request; after a failure (5xx) release the key, so that it can be sent again."""
    own_row = (IdempotencyRecord.caller == caller, IdempotencyRecord.key == key)
    if response.status >= 500:
        session.execute(delete(IdempotencyRecord).where(*own_row))
        return
    body = None if holds_secret else response.body
    session.execute(
        update(IdempotencyRecord)
        .where(*own_row)
        .values(status=response.status, content_type=response.content_type, body=body)
    )
