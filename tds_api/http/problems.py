"""Problem documents (RFC 9457) for all errors, and the table from error classes to HTTP status."""

from typing import Any

import msgspec
import structlog
from flask import Flask, Response, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from tds_api.http.correlation import correlation_id
from tds_api.inbox.group_commit import IntakeUnavailableError
from tds_core.alerts.alertmanager import InvalidNotificationError
from tds_core.alerts.channels.address import InvalidChannelError
from tds_core.alerts.operator_actions import AlertNotFiringError, InvalidAcknowledgementError
from tds_core.alerts.rule_terms import InvalidTermsError, StaleTermsError
from tds_core.alerts.silences import InvalidSilenceError
from tds_core.audit_trail.restart_after_key_loss import NoKeyLostError
from tds_core.auth import idempotency
from tds_core.auth import principal as access
from tds_core.breakers.registry import BreakersAwayError
from tds_core.comparison.repair import StaleRepairError
from tds_core.config.sources import InvalidValueError
from tds_core.configuration.versions import StaleConfigurationError
from tds_core.database_errors import is_away
from tds_core.dead_letters import retry as letters
from tds_core.erasure.erase import PersonExistsError
from tds_core.erasure.person import InvalidPersonError
from tds_core.errors import SNOOZE, ConfigError, InvalidCursorError, NotFoundError, RetiredError, SourceError, TdsError
from tds_core.explain.audit_log import InvalidAuditFilterError
from tds_core.inbox.replay import EventPendingError
from tds_core.inbox.replay_batches import InvalidSelectionError, StaleSelectionError
from tds_core.mirror.row_filters import UnknownFilterError
from tds_core.mirror.search import SearchTooSlowError
from tds_core.observability.outages import pool
from tds_core.schedule.operations import UnknownJobError
from tds_core.sources.zoho.quota.usage_snapshot import QuotaUnknownError
from tds_core.sources.zoho.webhooks import errors as webhooks_errors
from tds_core.subscriptions.ssrf_guard import TargetRefusedError
from tds_core.subscriptions.subscriptions import InvalidSubscriptionError
from tds_core.sync.manual_deletion import RecordExistsError, RowChangedError, SearchTooLongError
from tds_core.sync.mass_change_guard import NotHeldError
from tds_core.sync.run_requests import InvalidRequestError

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 5
#: What SQLAlchemy raises while PostgreSQL is away, or gives no connection.
DATABASE_ERRORS = (OperationalError, InterfaceError, PoolTimeoutError)
#: The content type of problem documents.
PROBLEM = "application/problem+json"


# The nearest class of an error decides.
STATUS: dict[type[Exception], int] = {
    TdsError: 500,
    ConfigError: 503,
    InvalidChannelError: 422,
    InvalidSubscriptionError: 422,
    TargetRefusedError: 422,
    access.UnauthorizedError: 401,
    access.ForbiddenError: 403,
    access.OperatorExistsError: 409,
    access.LastAdminError: 409,
    access.SessionRequiredError: 409,
    idempotency.RequestInProgressError: 409,
    idempotency.ResponseNotStoredError: 409,
    idempotency.KeyReusedError: 422,
    access.InvalidArgumentError: 422,
    InvalidAuditFilterError: 422,
    access.TooManyRequestsError: 429,
    InvalidRequestError: 422,
    UnknownFilterError: 422,
    SearchTooSlowError: 503,
    NotHeldError: 409,
    NoKeyLostError: 409,
    RecordExistsError: 409,
    PersonExistsError: 409,
    InvalidPersonError: 422,
    RowChangedError: 409,
    SearchTooLongError: 503,
    AlertNotFiringError: 409,
    StaleTermsError: 409,
    StaleRepairError: 409,
    InvalidTermsError: 422,
    StaleConfigurationError: 409,
    InvalidValueError: 422,
    InvalidAcknowledgementError: 422,
    InvalidSilenceError: 422,
    InvalidNotificationError: 422,
    EventPendingError: 409,
    InvalidSelectionError: 422,
    StaleSelectionError: 409,
    letters.DeadLetterClosedError: 409,
    letters.RetryInProgressError: 409,
    letters.SelectionChangedError: 409,
    letters.EmptySelectionError: 422,
    letters.InvalidEditError: 422,
    UnknownJobError: 404,
    NotFoundError: 404,
    RetiredError: 410,
    BreakersAwayError: 503,
    SourceError: 502,
    **dict.fromkeys(SNOOZE, 503),
    InvalidCursorError: 400,
    IntakeUnavailableError: 503,
    QuotaUnknownError: 503,
    webhooks_errors.WebhookRefusedError: 400,
    webhooks_errors.UnprovenError: 401,
    webhooks_errors.BodyTooLargeError: 413,
    webhooks_errors.BodyCutShortError: 400,
    webhooks_errors.BodyTooSlowError: 408,
    webhooks_errors.BodiesCrowdedError: 503,
    webhooks_errors.TooManyFieldsError: 413,
    webhooks_errors.NotUnderstoodError: 422,
    webhooks_errors.UnknownWebhookEntityError: 404,
    webhooks_errors.UnknownEventError: 404,
    webhooks_errors.ContentTypeError: 415,
    OperationalError: 503,
    InterfaceError: 503,
    PoolTimeoutError: 503,
}


def status_of(error: Exception) -> int:
    """The HTTP status an error means."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem_document(*, status: int, code: str, detail: str, correlation_id: str, **more: Any) -> bytes:
    """The JSON of a problem document; `more` are members of its own."""
    document = {
        "type": f"urn:tds:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "correlation_id": correlation_id,
        **more,
    }
    return msgspec.json.encode(document)


def problem(*, status: int, code: str, detail: str, **more: Any) -> Response:
    """A problem document as the response to the current request."""
    document = problem_document(status=status, code=code, detail=detail, correlation_id=correlation_id(), **more)
    response = Response(document, status, content_type=PROBLEM)
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def problem_of(error: TdsError, **more: Any) -> Response:
    """The problem document of a TdsError; what it says is hidden where it may name internals."""
    status = status_of(error)
    is_public = status < 500 or error.retriable or isinstance(error, ConfigError)  # which names settings, not values
    detail = str(error) if is_public else "TDS failed; its log has this correlation id."
    response = problem(status=status, code=error.code, detail=detail, **more)
    if isinstance(error, access.UnauthorizedError):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, access.TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def problem_of_http(error: HTTPException) -> Response | HTTPException:
    """The problem document of an error of Flask, Werkzeug or webargs; redirects are returned unchanged."""
    if error.code is None or error.code < 400:
        return error
    code = error.name.lower().replace(" ", "_").replace("'", "")
    arguments: dict[str, Any] = getattr(error, "data", None) or {}
    errors = arguments.get("errors") or arguments.get("messages")
    if errors:
        response = problem(
            status=error.code, code="invalid_arguments", detail="Some arguments are wrong.", errors=errors
        )
    else:
        response = problem(
            status=error.code, code=code, detail=arguments.get("message") or error.description or error.name
        )
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _problem_of_database(error: Exception) -> Response:
    if isinstance(error, PoolTimeoutError):
        pool.begin()
    elif not is_away(error):  # an outage is logged once, by the engine
        log.error("database_unavailable", error=type(error).__name__, path=request.path)
    return problem(status=503, code="database_unavailable", detail="The database cannot be reached.")


def _problem_of_bug(error: Exception) -> Response:
    log.exception("request_failed", error=type(error).__name__, path=request.path, method=request.method)
    return problem(status=500, code="internal_error", detail="TDS failed; its log has this correlation id.")


def install_errors(app: Flask) -> None:
    """Register error handlers so that every error becomes a problem document."""
    app.register_error_handler(TdsError, problem_of)
    app.register_error_handler(HTTPException, problem_of_http)
    for kind in DATABASE_ERRORS:
        app.register_error_handler(kind, _problem_of_database)
    app.register_error_handler(Exception, _problem_of_bug)
