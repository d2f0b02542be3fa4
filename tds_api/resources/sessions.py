"""Routes of sessions: log in, show the current identity, change the password, log out."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from flask import Response, jsonify, request
from limits import RateLimitItem
from sqlalchemy.orm import Session

from tds_api.auth.action_log import ActionRecorder
from tds_api.auth.authentication import (
    SESSION_COOKIE,
    Identity,
    address_of,
    current_identity,
    delete_session_cookie,
    lifetime,
    set_session_cookie,
)
from tds_api.auth.permissions import ANYBODY, needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.auth import LoginSchema, PasswordChangeSchema, WhoamiSchema
from tds_core.auth import sessions
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.operators import change_own_password, normalize_name
from tds_core.auth.principal import (
    ANONYMOUS,
    LoginRefusedError,
    Principal,
    PrincipalKind,
    SessionRequiredError,
    TooManyRequestsError,
)
from tds_core.auth.rate_limits import RateLimiter, per_hour, per_minute
from tds_core.auth.sessions import NewSession
from tds_models.auth import Role
from tds_models.db import session_scope


def session_routes(context: Context, rates: RateLimiter, recorder: ActionRecorder) -> Blueprint:
    """Log-in and log-out."""
    routes = Blueprint("session", __name__, url_prefix="/api/tds/session", description="Log in and out")

    @routes.post("")
    @needs(ANYBODY)
    @routes.arguments(LoginSchema)
    @routes.response(201, WhoamiSchema, description="Logged in; the session is a cookie")
    @routes.alt_response(401, description="Name and password do not belong together")
    @routes.alt_response(429, description="Too many attempts")
    def log_in(arguments: dict[str, Any]) -> Any:
        """Log in. The response, and the time it takes, are the same whatever is wrong."""
        begun = begin_session(context, rates, recorder, **arguments)
        response = jsonify(WhoamiSchema().dump(_whoami(Identity(begun.caller, begun.token), begun.ends_at)))
        response.status_code = 201
        response.headers["Cache-Control"] = "no-store"
        set_session_cookie(request, response, begun, context.settings)
        return response

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, WhoamiSchema)
    def whoami() -> Any:
        """The current identity and its role; for a browser's session also the CSRF token."""
        return _whoami(current_identity())

    @routes.delete("")
    @needs(Role.VIEWER)
    @routes.response(204)
    def log_out() -> Response:
        """End this session; a no-op without one."""
        token = current_identity().session_token
        response = Response(status=204)
        if token is not None:
            with session_scope(context.engine) as session:
                sessions.log_out(session, token)
            delete_session_cookie(response)
        return response

    _password_route(routes, context, rates)
    return routes


def _password_route(routes: Blueprint, context: Context, rates: RateLimiter) -> None:
    @routes.put("/password")
    @needs(Role.VIEWER)
    @routes.arguments(PasswordChangeSchema)
    @routes.response(204)
    def change_password(arguments: dict[str, Any]) -> Response:
        """Change one's own password, which ends all of one's sessions: log in again."""
        principal = current_identity().principal
        if principal.kind is not PrincipalKind.OPERATOR:
            raise SessionRequiredError("Only an operator who is logged in has a password to change: log in first.")
        _limit_attempts(rates, principal.name, address_of(request, context.settings))
        with session_scope(context.engine) as session:
            change_own_password(session, principal.name, **arguments)
        response = Response(status=204)
        delete_session_cookie(response)
        return response


def begin_session(
    context: Context, rates: RateLimiter, recorder: ActionRecorder, *, name: str, password: str
) -> NewSession:
    """Log in under a new session token, and end the browser's previous session.

    Raises LoginRefusedError or TooManyRequestsError.
    """
    address = address_of(request, context.settings)
    _limit_attempts(rates, normalize_name(name), address)

    def scope() -> AbstractContextManager[Session]:
        return session_scope(context.engine)

    try:
        begun = sessions.log_in(
            scope, name=name, password=password, lifetime=lifetime(context.settings), address=address
        )
    except LoginRefusedError as error:
        recorder.refused(_action(recorder, ANONYMOUS), status=401, error=error.code)
        raise
    if before := request.cookies.get(SESSION_COOKIE):
        with scope() as session:
            sessions.log_out(session, before)
    recorder.done(_action(recorder, begun.caller))
    return begun


def _limit_attempts(rates: RateLimiter, name: str, address: str) -> None:
    """Limit guesses of one name from one address, of many names from it, and of one name from many addresses.

    Raises TooManyRequestsError.
    """
    limits: tuple[tuple[RateLimitItem, tuple[str, ...]], ...] = (
        (per_minute(5), ("login", name, address)),
        (per_minute(20), ("login", address)),
        (per_hour(100), ("login of", name)),
    )
    states = [rates.take(limit, *key) for limit, key in limits]
    wait_seconds = max((state.reset_seconds for state in states if state.is_over), default=0)
    if wait_seconds:
        raise TooManyRequestsError("Too many attempts to log in. Try later.", retry_after_seconds=wait_seconds)


def _action(recorder: ActionRecorder, principal: Principal) -> ActionEntry:
    """The log entry of a log-in, without the name that was entered: people type passwords there."""
    entry = recorder.action_of(principal)
    return ActionEntry(principal, entry.operation, entry.subject, entry.correlation_id, entry.remote_address)


class Whoami(TypedDict):
    """What `WhoamiSchema` shows; `ends_at` only of a session just begun."""

    kind: str
    name: str
    role: Role | None
    scopes: Sequence[str]
    csrf_token: str | None
    ends_at: NotRequired[datetime]


def _whoami(identity: Identity, ends_at: datetime | None = None) -> Whoami:
    principal, token = identity.principal, identity.session_token
    whoami: Whoami = {
        "kind": principal.kind.value,
        "name": principal.name,
        "role": principal.role,
        "scopes": principal.scopes,
        "csrf_token": sessions.csrf_token(token) if token else None,
    }
    if ends_at is not None:
        whoami["ends_at"] = ends_at
    return whoami
