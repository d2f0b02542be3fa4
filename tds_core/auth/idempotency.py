"""Answers kept for a day under the caller's Idempotency-Key, so that a request sent twice is done once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tds_core.auth.principal import AnswerNotKeptError, KeyUsedOtherwiseError, StillAnsweringError
from tds_models.auth import IdempotencyRecord

KEPT_SECONDS = 86_400
# A request that has no answer after this died with its process, and may be sent again.
ANSWERING_SECONDS = 300


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """What a request was answered."""

    status: int
    content_type: str
    body: bytes


def begin(session: Session, *, caller: str, key: str, request_digest: bytes) -> StoredResponse | None:
    """Claim `key` for a request. Returns the answer it got before; None when it is to be done now.

    Raises KeyUsedOtherwiseError for another request under the same key, StillAnsweringError while the first one has
    no answer, AnswerNotKeptError when its answer held a secret.
    """
    now = func.now()
    claim = insert(IdempotencyRecord).values(
        caller=caller, key=key, request_digest=request_digest, expires_at=now + timedelta(seconds=KEPT_SECONDS)
    )
    died = IdempotencyRecord.status.is_(None) & (
        IdempotencyRecord.began_at < now - timedelta(seconds=ANSWERING_SECONDS)
    )
    fresh: dict[str, Any] = {"status": None, "content_type": None, "body": None, "began_at": now}
    claim = claim.on_conflict_do_update(
        index_elements=[IdempotencyRecord.caller, IdempotencyRecord.key],
        set_={**fresh, "request_digest": request_digest, "expires_at": claim.excluded.expires_at},
        where=or_(IdempotencyRecord.expires_at <= now, died),
    )
    if session.execute(claim.returning(IdempotencyRecord.key)).first():
        return None
    kept = session.execute(
        select(IdempotencyRecord).where(IdempotencyRecord.caller == caller, IdempotencyRecord.key == key)
    ).scalar_one()
    if bytes(kept.request_digest) != request_digest:
        raise KeyUsedOtherwiseError("This Idempotency-Key was sent with another request. Give each request its own.")
    if kept.status is None:
        raise StillAnsweringError("The first request with this Idempotency-Key is still being answered.")
    if kept.body is None:
        raise AnswerNotKeptError("Done before; its answer held a secret, which was shown once and is not kept.")
    return StoredResponse(kept.status, kept.content_type or "application/json", bytes(kept.body))


def keep(session: Session, *, caller: str, key: str, answer: StoredResponse, holds_secret: bool) -> None:
    """Keep what a request was answered; of one that failed nothing, so that it can be sent again."""
    mine = (IdempotencyRecord.caller == caller, IdempotencyRecord.key == key)
    if answer.status >= 500:
        session.execute(delete(IdempotencyRecord).where(*mine))
        return
    body = None if holds_secret else answer.body
    session.execute(
        update(IdempotencyRecord).where(*mine).values(status=answer.status, content_type=answer.content_type, body=body)
    )
