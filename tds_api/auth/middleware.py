"""The gate: a request shows who asks, is counted, is checked for its permission, and written down if it changes."""

from urllib.parse import quote

from flask import Flask, Request, Response, g, make_response, redirect, request

from tds_api.auth import idempotency
from tds_api.auth.action_log import API, Recording
from tds_api.auth.authentication import CSRF_HEADER, Known, address_of, identify
from tds_api.auth.permissions import ANYBODY, ITSELF, Permission, permission_of
from tds_api.context import Context
from tds_core.auth.principal import NOBODY, CsrfError, ForbiddenError, TooManyRequestsError, UnauthorizedError
from tds_core.auth.rate_limits import RateLimiter, RateLimitState, per_minute
from tds_core.auth.sessions import is_csrf_token
from tds_core.errors import NotFoundError
from tds_models.auth import Role

LOGIN_PATH = "/api/tds/login"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: So many requests a minute from one address may carry what opens nothing; guessing takes more.
REFUSED_PER_MINUTE = 30
#: What every caller may do, whatever the scopes of a key: ask who they are.
_ALWAYS_REACHED = "session"


def install_auth(app: Flask, edge: Context, rates: RateLimiter, recording: Recording) -> None:
    """Put the gate before every route of `app`."""
    gate = AuthMiddleware(app, edge, rates, recording)
    app.before_request(gate.enter)
    app.after_request(gate.leave)


class AuthMiddleware:
    """What happens before and after a view."""

    def __init__(self, app: Flask, edge: Context, rates: RateLimiter, recording: Recording) -> None:
        self._app, self._edge, self._rates, self._recording = app, edge, rates, recording

    def enter(self) -> Response | None:
        """Let the request at hand in, or answer it as it was answered before. Raises what refuses it."""
        if request.endpoint is None or request.method == "OPTIONS":
            return None
        permission = permission_of(self._app, request.endpoint)
        if permission in (ANYBODY, ITSELF):
            return None
        address = address_of(request, self._edge.settings)
        self._count(self._edge.settings.address_requests_per_minute, "address", address)
        try:
            g.known = self._identified(address)
            g.standing = self._count(self._edge.settings.requests_per_minute, "caller", g.known.caller.name)
            _check(g.known, permission)
            _check_path()
        except (UnauthorizedError, ForbiddenError) as error:
            if request.method not in SAFE:
                caller = g.known.caller if "known" in g else NOBODY
                status = 401 if isinstance(error, UnauthorizedError) else 403
                self._recording.refused(self._recording.action_of(caller), status=status, error=error.code)
            login = login_redirect(request) if isinstance(error, UnauthorizedError) else None
            if login is None:
                raise
            return login
        return None if request.method in SAFE else self._begun(g.known)

    def leave(self, response: Response) -> Response:
        """Write down what came of the request, and say how the caller's limit stands."""
        if "begun" in g:
            self._recording.end(*g.begun, response)
        if "key" in g:
            idempotency.keep(self._edge, response, caller=g.known.caller.name, key=g.key)
        if "standing" in g:
            add_headers(response, g.standing)
        return response

    def _identified(self, address: str) -> Known:
        try:
            return identify(self._edge, request)
        except UnauthorizedError:
            if self._rates.take(per_minute(REFUSED_PER_MINUTE), "refused", address).is_over:
                raise TooManyRequestsError(
                    "Too many requests from here carried nothing that opens. Ask again later.", retry_after_seconds=60
                ) from None
            raise

    def _count(self, count: int, kind: str, whose: str) -> RateLimitState | None:
        if not count:
            return None
        standing = self._rates.take(per_minute(count), kind, whose)
        if standing.is_over:
            g.standing = standing
            raise TooManyRequestsError(
                f"More than {count} requests in a minute. Ask again in {standing.reset_seconds} s.",
                retry_after_seconds=standing.reset_seconds,
            )
        return standing

    def _begun(self, known: Known) -> Response | None:
        key = idempotency.key_of(request)
        if key is not None:
            before = idempotency.answered_before(self._edge, request, caller=known.caller.name, key=key)
            if before is not None:
                return before
            g.key = key
        action = self._recording.action_of(known.caller)
        g.begun = (action, self._recording.begin(action))
        return None


def add_headers(response: Response, standing: RateLimitState | None) -> None:
    """Say how a limit stands."""
    if standing is not None:
        response.headers["RateLimit-Limit"] = str(standing.limit)
        response.headers["RateLimit-Remaining"] = str(standing.left)
        response.headers["RateLimit-Reset"] = str(standing.reset_seconds)
        response.headers["RateLimit-Policy"] = f"{standing.limit};w={standing.window_seconds}"


def _check_path() -> None:
    """No name holds a NUL, and PostgreSQL takes none. Raises NotFoundError."""
    if any("\x00" in value for value in (request.view_args or {}).values() if isinstance(value, str)):
        raise NotFoundError("There is nothing of this name.")


def _check(known: Known, permission: Permission) -> None:
    caller, path = known.caller, request.path.removeprefix(API)
    if known.session_token is not None and request.method not in SAFE:
        given = request.headers.get(CSRF_HEADER, "")
        if not is_csrf_token(given, known.session_token):
            raise CsrfError(f"A change by a browser's session needs {CSRF_HEADER}, from GET /api/tds/session.")
    needed = Role(permission)
    if not caller.may(needed):
        raise ForbiddenError(f"This needs the role {needed}; {caller.name} has {caller.role}.")
    if path != _ALWAYS_REACHED and not caller.reaches(path):
        raise ForbiddenError(f"The scopes of {caller.name} do not reach {path[:80]}: {', '.join(caller.scopes)}.")


def login_redirect(asked: Request) -> Response | None:
    """The redirect to the login page, for a browser that wants to see something; None for programs."""
    # Clients that accept anything get JSON; browsers would rather have a page.
    preferred = asked.accept_mimetypes.best_match(["application/json", "text/html"])
    if asked.method != "GET" or preferred != "text/html" or asked.authorization is not None:
        return None
    return make_response(redirect(f"{LOGIN_PATH}?next={quote(asked.path)}", 303))
