"""Rejected webhooks: recorded as rejected or quarantined, counted, and answered with the reason."""

from collections.abc import Callable

import structlog
from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.authentication import address_of
from tds_api.http.correlation import correlation_id
from tds_api.http.problems import problem, problem_of, status_of
from tds_api.http.token_bucket import TokenBucket
from tds_api.process_context import Context
from tds_core.database_errors import is_away
from tds_core.inbox.receive import quarantine
from tds_core.inbox.rejected import Rejection, keep_rejected
from tds_core.observability.metrics import webhook_refusals, webhooks
from tds_core.sources.zoho.webhooks.errors import NotUnderstoodError, UnprovenError
from tds_core.sources.zoho.webhooks.parser import SOURCE
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

log = structlog.get_logger(__name__)


#: Entity and id that an unverified delivery claims to be about; None where it cannot be parsed.
Claim = Callable[[], tuple[str | None, str | None]]


def reject(
    context: Context, kept_rejections: TokenBucket, request: Request, *, error: UnprovenError, body: bytes,
    body_size: int, claim: Claim,
) -> Response:  # fmt: skip
    """Refuse an unverified delivery with 401 or a related status. The answer is the same if it cannot be recorded."""
    webhooks.labels("", "refused").inc()
    webhook_refusals.labels(error.code).inc()
    if kept_rejections.take():
        entity, source_id = claim()
        rejected = Rejection(
            reason=error.code,
            detail=str(error),
            status=status_of(error),
            path=request.path,
            headers=dict(request.headers),
            remote_address=address_of(request, context.settings),
            body=body,
            body_size=body_size,
            correlation_id=correlation_id(),
            entity=entity,
            source_id=source_id,
        )
        try:
            with session_scope(context.engine) as session:
                keep_rejected(session, rejected)
        except SQLAlchemyError as failure:
            if not is_away(failure):
                log.warning("rejected_delivery_not_kept", error=type(failure).__name__, reason=error.code)
    return problem_of(error)


def keep_quarantined(context: Context, *, error: NotUnderstoodError, body: bytes) -> Response:
    """Quarantine a verified delivery that was not understood; the answer names the event that holds it.

    While the database is away nothing is stored: the answer is 503, and the sender tries again.
    """
    entity = error.entity if error.entity in ENTITIES else None
    try:
        with session_scope(context.engine) as session:
            event_id = quarantine(
                session,
                source=SOURCE,
                entity=_storable(error.entity),
                event=_storable(error.event),
                raw=body,
                reason=f"{error.code}: {error}".replace("\x00", "\\x00"),
                correlation_id=correlation_id(),
            )
    except SQLAlchemyError as failure:
        if not is_away(failure):
            log.error("quarantine_failed", error=type(failure).__name__, reason=error.code)
        webhooks.labels(entity or "", "unavailable").inc()
        context.unstored.add("intake_unavailable")
        return problem(status=503, code="intake_unavailable", detail="The database cannot be reached.")
    webhooks.labels(entity or "", "quarantined").inc()
    webhook_refusals.labels(error.code).inc()
    return problem_of(error, event_id=str(event_id))


def _storable(name: str | None) -> str | None:
    return None if name is None else name.replace("\x00", "")[:80]
