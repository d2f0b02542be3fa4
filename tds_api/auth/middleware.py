"""The auth middleware: authenticates a request, counts it, checks its permission, and records it if it changes."""

from urllib.parse import quote

import structlog
from flask import Flask, Request, Response, g, make_response, redirect, request

from tds_api.auth import idempotency
from tds_api.auth.action_log import API, ActionRecorder
from tds_api.auth.authentication import CSRF_HEADER, Identity, RecentSessions, address_of, identify
from tds_api.auth.permissions import ANYBODY, ITSELF, Permission, does_answer_during_outages, permission_of
from tds_api.http.problems import DATABASE_ERRORS
from tds_api.process_context import Context
from tds_core.auth.principal import ANONYMOUS, CsrfError, ForbiddenError, TooManyRequestsError, UnauthorizedError
from tds_core.auth.rate_limits import RateLimiter, RateLimitState, per_minute
from tds_core.auth.sessions import is_csrf_token
from tds_core.errors import NotFoundError
from tds_models.auth import Role

LOGIN_PATH = "/api/tds/login"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Requests a minute from one address that may fail to authenticate; guessing takes more.
REFUSED_PER_MINUTE = 30
#: The path every principal may call, whatever its scopes: its own identity.
_ALWAYS_IN_SCOPE = "session"


def install_auth(app: Flask, context: Context, rates: RateLimiter, recorder: ActionRecorder) -> None:
    """Run the middleware before and after every view of `app`."""
    middleware = AuthMiddleware(app, context, rates, recorder)
    app.before_request(middleware.before_view)
    app.after_request(middleware.after_view)


class AuthMiddleware:
    """Authentication, rate limits, permissions, idempotency and the action log, before and after each view."""

    def __init__(self, app: Flask, context: Context, rates: RateLimiter, recorder: ActionRecorder) -> None:
        self._app, self._context, self._rates, self._recorder = app, context, rates, recorder
        self._recent = RecentSessions()

    def before_view(self) -> Response | None:
        """Admit the request, or return the stored response of an earlier one. Raises what refuses it."""
        if request.endpoint is None or request.method == "OPTIONS":
            return None
        permission = permission_of(self._app, request.endpoint)
        if permission in (ANYBODY, ITSELF):
            return None
        address = address_of(request, self._context.settings)
        self._count(self._context.settings.address_requests_per_minute, "address", address)
        try:
            g.identity = self._authenticate(address)
            structlog.contextvars.bind_contextvars(caller=g.identity.principal.name)
            g.rate_limit = self._count(self._context.settings.requests_per_minute, "caller", g.identity.principal.name)
            check_permission(g.identity, permission)
            _check_path()
        except (UnauthorizedError, ForbiddenError) as error:
            if request.method not in SAFE:
                principal = g.identity.principal if "identity" in g else ANONYMOUS
                status = 401 if isinstance(error, UnauthorizedError) else 403
                self._recorder.refused(self._recorder.action_of(principal), status=status, error=error.code)
            login = login_redirect(request) if isinstance(error, UnauthorizedError) else None
            if login is None:
                raise
            return login
        return None if request.method in SAFE else self._begin_action(g.identity)

    def after_view(self, response: Response) -> Response:
        """Record the outcome of the request, and add the headers of the rate limit."""
        if "begun" in g:
            action, begun_id = g.begun
            self._recorder.end(action, begun_id, response)
        if "key" in g:
            idempotency.store(self._context, response, caller=g.identity.principal.name, key=g.key)
        if "rate_limit" in g:
            add_headers(response, g.rate_limit)
        return response

    def _authenticate(self, address: str) -> Identity:
        try:
            identity = identify(self._context, request)
            self._recent.remember(identity)
            return identity
        except DATABASE_ERRORS:
            recent = self._recent.recall(request)
            if recent is None or not does_answer_during_outages(self._app, str(request.endpoint)):
                raise
            return recent
        except UnauthorizedError:
            if self._rates.take(per_minute(REFUSED_PER_MINUTE), "refused", address).is_over:
                raise TooManyRequestsError(
                    "Too many requests from this address failed to authenticate. Try again later.",
                    retry_after_seconds=60,
                ) from None
            raise

    def _count(self, count: int, kind: str, whose: str) -> RateLimitState | None:
        if not count:
            return None
        state = self._rates.take(per_minute(count), kind, whose)
        if state.is_over:
            g.rate_limit = state
            raise TooManyRequestsError(
                f"More than {count} requests in a minute. Try again in {state.reset_seconds} s.",
                retry_after_seconds=state.reset_seconds,
            )
        return state

    def _begin_action(self, identity: Identity) -> Response | None:
        key = idempotency.key_of(request)
        if key is not None:
            stored = idempotency.stored_response(self._context, request, caller=identity.principal.name, key=key)
            if stored is not None:
                return stored
            g.key = key
        action = self._recorder.action_of(identity.principal)
        g.begun = (action, self._recorder.begin(action))
        return None


def add_headers(response: Response, state: RateLimitState | None) -> None:
    """Add the RateLimit headers."""
    if state is not None:
        response.headers["RateLimit-Limit"] = str(state.limit)
        response.headers["RateLimit-Remaining"] = str(state.left)
        response.headers["RateLimit-Reset"] = str(state.reset_seconds)
        response.headers["RateLimit-Policy"] = f"{state.limit};w={state.window_seconds}"


def _check_path() -> None:
    """Refuse a NUL in the path, which PostgreSQL cannot store. Raises NotFoundError."""
    if any("\x00" in value for value in (request.view_args or {}).values() if isinstance(value, str)):
        raise NotFoundError("There is nothing of this name.")


def check_permission(identity: Identity, permission: Permission) -> None:
    """Return if `identity` may make the current request. Raises CsrfError or ForbiddenError."""
    principal, path = identity.principal, request.path.removeprefix(API)
    if identity.session_token is not None and request.method not in SAFE:
        token = request.headers.get(CSRF_HEADER, "")
        if not is_csrf_token(token, identity.session_token):
            raise CsrfError(f"A change in a browser's session needs {CSRF_HEADER}: take it from GET /api/tds/session.")
    needed = Role(permission)
    if not principal.may(needed):
        raise ForbiddenError(f"This needs the role {needed}; {principal.name} has {principal.role}.")
    if path != _ALWAYS_IN_SCOPE and not principal.reaches(path):
        raise ForbiddenError(f"The scopes of {principal.name} do not cover {path[:80]}: {', '.join(principal.scopes)}.")


def login_redirect(request: Request) -> Response | None:
    """A redirect to the log-in page, for a browser that wants to read a page; None for programs."""
    # A client that accepts anything gets JSON; browsers prefer HTML.
    preferred = request.accept_mimetypes.best_match(["application/json", "text/html"])
    # A poll of a page cannot show a log-in in the place of its content: its script reads the 401.
    is_poll = "HX-Request" in request.headers
    if request.method != "GET" or preferred != "text/html" or request.authorization is not None or is_poll:
        return None
    return make_response(redirect(f"{LOGIN_PATH}?next={quote(request.full_path.rstrip('?'))}", 303))
