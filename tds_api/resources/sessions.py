"""Routes of sessions: log in, ask who one is, change one's password, log out."""

from contextlib import AbstractContextManager
from typing import Any

from flask import Response, jsonify, request
from limits import RateLimitItem
from sqlalchemy.orm import Session

from tds_api.auth.action_log import Recording
from tds_api.auth.authentication import SESSION_COOKIE, address_of, drop_session, known, lifetime, put_session
from tds_api.auth.permissions import ANYBODY, needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.auth import Login, PasswordChange, Whoami
from tds_core.auth import sessions
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.operators import change_own_password, spelled
from tds_core.auth.principal import (
    NOBODY,
    LoginRefusedError,
    NoSessionError,
    Principal,
    PrincipalKind,
    TooManyRequestsError,
)
from tds_core.auth.rate_limits import RateLimiter, per_hour, per_minute
from tds_core.auth.sessions import Begun
from tds_models.auth import Role
from tds_models.db import session_scope


def session_routes(edge: Context, rates: RateLimiter, recording: Recording) -> Blueprint:
    """Log-in and log-out."""
    routes = Blueprint("session", __name__, url_prefix="/api/tds/session", description="Log in and out")

    @routes.post("")
    @needs(ANYBODY)
    @routes.arguments(Login)
    @routes.response(201, Whoami, description="Logged in; the session is a cookie")
    @routes.alt_response(401, description="Name and password do not belong together")
    @routes.alt_response(429, description="Too many attempts")
    def log_in(arguments: dict[str, Any]) -> Any:
        """Log in. The answer is the same whatever is wrong, and so is the time it takes."""
        begun = begin_session(edge, rates, recording, **arguments)
        response = jsonify(Whoami().dump(_told(begun.caller, begun.token, ends_at=begun.ends_at)))
        response.status_code = 201
        response.headers["Cache-Control"] = "no-store"
        put_session(request, response, begun, edge.settings)
        return response

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Whoami)
    def whoami() -> Any:
        """Who asks, as what; for a browser's session also the token its changes need."""
        return _told(known().caller, known().session_token)

    @routes.delete("")
    @needs(Role.VIEWER)
    @routes.response(204)
    def log_out() -> Response:
        """End this session; without one nothing happens."""
        token = known().session_token
        response = Response(status=204)
        if token is not None:
            with session_scope(edge.engine) as session:
                sessions.log_out(session, token)
            drop_session(response)
        return response

    _password_route(routes, edge, rates)
    return routes


def _password_route(routes: Blueprint, edge: Context, rates: RateLimiter) -> None:
    @routes.put("/password")
    @needs(Role.VIEWER)
    @routes.arguments(PasswordChange)
    @routes.response(204)
    def change_password(arguments: dict[str, Any]) -> Response:
        """Change one's own password, which ends all of one's sessions: log in again."""
        caller = known().caller
        if caller.kind is not PrincipalKind.OPERATOR:
            raise NoSessionError("This is for operators who are logged in; a key has no password.")
        _slow_down(rates, caller.name, address_of(request, edge.settings))
        with session_scope(edge.engine) as session:
            change_own_password(session, caller.name, **arguments)
        response = Response(status=204)
        drop_session(response)
        return response


def begin_session(edge: Context, rates: RateLimiter, recording: Recording, *, name: str, password: str) -> Begun:
    """Log in, under a new token whatever the browser brought. Raises LoginRefusedError or TooManyRequestsError."""
    address = address_of(request, edge.settings)
    _slow_down(rates, spelled(name), address)

    def scope() -> AbstractContextManager[Session]:
        return session_scope(edge.engine)

    try:
        begun = sessions.log_in(scope, name=name, password=password, lifetime=lifetime(edge.settings), address=address)
    except LoginRefusedError as error:
        recording.refused(_action(recording, NOBODY), status=401, error=error.code)
        raise
    if before := request.cookies.get(SESSION_COOKIE):
        with scope() as session:
            sessions.log_out(session, before)
    recording.done(_action(recording, begun.caller))
    return begun


def _slow_down(rates: RateLimiter, name: str, address: str) -> None:
    """Guessing gets nowhere: neither one name from one place, nor many names, nor one name from many places."""
    allowed: tuple[tuple[RateLimitItem, tuple[str, ...]], ...] = (
        (per_minute(5), ("login", name, address)),
        (per_minute(20), ("login", address)),
        (per_hour(100), ("login of", name)),
    )
    standings = [rates.take(limit, *whose) for limit, whose in allowed]
    wait_seconds = max((each.reset_seconds for each in standings if each.is_over), default=0)
    if wait_seconds:
        raise TooManyRequestsError("Too many attempts to log in. Try later.", retry_after_seconds=wait_seconds)


def _action(recording: Recording, caller: Principal) -> ActionEntry:
    """A log-in as it is written down: not what was given as name, for people type passwords there."""
    asked = recording.action_of(caller)
    return ActionEntry(caller, asked.operation, asked.subject, asked.correlation_id, asked.remote_address)


def _told(caller: Principal, token: str | None, **more: Any) -> dict[str, Any]:
    return {
        "kind": caller.kind.value,
        "name": caller.name,
        "role": caller.role,
        "scopes": caller.scopes,
        "csrf_token": sessions.csrf_token(token) if token else None,
        **more,
    }
