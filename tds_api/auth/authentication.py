"""Authentication of a request: an API key or the settings' token as bearer, or an operator's session cookie."""

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address
from threading import Lock
from time import monotonic
from urllib.parse import urlsplit

from flask import Request, Response, g

from tds_api.process_context import Context
from tds_core.auth import api_keys, sessions
from tds_core.auth.principal import TOKEN, ForbiddenError, Principal, UnauthorizedError
from tds_core.auth.sessions import Lifetime, NewSession
from tds_core.config.settings import Settings
from tds_models.db import session_scope

SESSION_COOKIE = "tds_session"
CSRF_HEADER = "X-CSRF-Token"
BEARER_SCHEME, SESSION_SCHEME = "apiKey", "session"
#: A session that ends, or an operator who is disabled, while PostgreSQL is away may read for so long.
RECENT_SECONDS, MOST_RECENT_SESSIONS = 900.0, 1_000


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated principal, and the token of its session if it came with one."""

    principal: Principal
    session_token: str | None = None


def identify(context: Context, request: Request) -> Identity:
    """The identity behind a request; a bearer takes precedence over a session. Raises UnauthorizedError."""
    bearer = _bearer(request)
    if bearer is not None:
        if is_token(context.settings, bearer):
            return Identity(TOKEN)
        with session_scope(context.engine) as session:
            return Identity(api_keys.authenticate_key(session, bearer, address=address_of(request, context.settings)))
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise UnauthorizedError(
            "Not authenticated: send 'Authorization: Bearer' with an API key (tds keys create NAME), or log in."
        )
    with session_scope(context.engine) as session:
        return Identity(sessions.authenticate_session(session, token, lifetime=lifetime(context.settings)), token)


class RecentSessions:
    """Sessions that were authenticated shortly before, for pages that answer while PostgreSQL is away."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._lock = Lock()

    def remember(self, identity: Identity) -> None:
        """Remember an identity that came with a session."""
        if identity.session_token is None:
            return
        with self._lock:
            key = _digest(identity.session_token)
            self._seen[key] = (monotonic(), identity)
            self._seen.move_to_end(key)
            while len(self._seen) > MOST_RECENT_SESSIONS:
                self._seen.popitem(last=False)

    def recall(self, request: Request) -> Identity | None:
        """The identity of the request's session if it was authenticated within the last quarter of an hour."""
        token = request.cookies.get(SESSION_COOKIE)
        with self._lock:
            at, identity = self._seen.get(_digest(token or ""), (-RECENT_SECONDS, None))
        return identity if identity is not None and monotonic() - at < RECENT_SECONDS else None


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def is_token(settings: Settings, presented: str) -> bool:
    """Whether `presented` is TDS_API_TOKEN, in constant time; False when that is unset."""
    token = presented.encode("utf-8", "surrogateescape")
    return bool(settings.api_token) and hmac.compare_digest(token, settings.api_token.encode())


def current_identity() -> Identity:
    """The identity behind the current request, once it was authenticated."""
    identity: Identity = g.identity
    return identity


def principal_name() -> str:
    """The name of the current principal, as tables keep it."""
    return current_identity().principal.name


def require_reach(scopes: Sequence[str]) -> None:
    """Return if the current principal may create or revoke access with `scopes`, which none exceed; empty: all.

    Raises ForbiddenError.
    """
    principal = current_identity().principal
    if not principal.may_grant(tuple(scopes)):
        raise ForbiddenError(f"The scopes of {principal.name} are {', '.join(principal.scopes)}: this reaches further.")


def require_grant(scopes: Sequence[str], *, until: datetime | None = None) -> None:
    """Return if the current principal may grant `scopes` until then; a key grants none that outlasts it.

    Raises ForbiddenError.
    """
    require_reach(scopes)
    ends_at = current_identity().principal.ends_at
    if ends_at is not None and (until is None or until > ends_at):
        raise ForbiddenError(
            f"{principal_name()} ends at {ends_at:%Y-%m-%d %H:%M} UTC: it cannot grant access beyond that."
        )


def address_of(request: Request, settings: Settings) -> str:
    """The client address of a request, as the outermost of TDS_PROXIES proxies saw it."""
    route = list(request.access_route)
    if 0 < settings.proxies <= len(route):
        return route[-settings.proxies][:64]
    return request.remote_addr or "unknown"


def is_loopback(host: str) -> bool:
    """Whether a Host header names the machine itself, whatever the port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return True
        return ip_address(name).is_loopback
    except ValueError:
        return False


def lifetime(settings: Settings) -> Lifetime:
    """How long sessions last by these settings."""
    return Lifetime(settings.session_idle_seconds, settings.session_seconds)


def set_session_cookie(request: Request, response: Response, begun: NewSession, settings: Settings) -> None:
    """Set the session cookie: HttpOnly, SameSite=Lax, and Secure where the request came over TLS."""
    encrypted = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(
        SESSION_COOKIE, begun.token, max_age=int(settings.session_seconds), path="/",
        secure=encrypted, httponly=True, samesite="Lax",
    )  # fmt: skip


def delete_session_cookie(response: Response) -> None:
    """Make the browser delete the session cookie."""
    response.delete_cookie(SESSION_COOKIE, path="/")


def _bearer(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, credential = header.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthorizedError("Not authenticated: send 'Authorization: Bearer' with an API key.")
    return credential.strip()
