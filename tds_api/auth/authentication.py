"""Who asks: the bearer of a key or of the settings' token, or a browser with an operator's session."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Request, Response, g

from tds_api.context import Context
from tds_core.auth import api_keys, sessions
from tds_core.auth.principal import TOKEN, ForbiddenError, Principal, UnauthorizedError
from tds_core.auth.sessions import Begun, Lifetime
from tds_core.config.settings import Settings
from tds_models.db import session_scope

SESSION_COOKIE = "tds_session"
CSRF_HEADER = "X-CSRF-Token"
BEARER_SCHEME, SESSION_SCHEME = "apiKey", "session"


@dataclass(frozen=True, slots=True)
class Known:
    """A caller, and the token of the session they came with, if it is one."""

    caller: Principal
    session_token: str | None = None


def identify(edge: Context, request: Request) -> Known:
    """Who asks. A key that is presented decides alone. Raises UnauthorizedError, which says what would open."""
    presented = _bearer(request)
    if presented is not None:
        if is_token(edge.settings, presented):
            return Known(TOKEN)
        with session_scope(edge.engine) as session:
            return Known(api_keys.caller_of_key(session, presented, address=address_of(request, edge.settings)))
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise UnauthorizedError(
            "This needs 'Authorization: Bearer' with an API key (tds keys create NAME), or a log-in."
        )
    with session_scope(edge.engine) as session:
        return Known(sessions.caller_of_session(session, token, lifetime=lifetime(edge.settings)), token)


def is_token(settings: Settings, presented: str) -> bool:
    """Whether `presented` is TDS_API_TOKEN, in a time that tells nothing; never when there is none."""
    given = presented.encode("utf-8", "surrogateescape")
    return bool(settings.api_token) and hmac.compare_digest(given, settings.api_token.encode())


def known() -> Known:
    """Who asks in the request at hand, once it was let in."""
    found: Known = g.known
    return found


def acting() -> str:
    """The name under which tables keep who asks now."""
    return known().caller.name


def reaching(scopes: Sequence[str]) -> None:
    """Let nobody give, or take away, what reaches further than they do; without scopes, as operators are, that is all.

    Raises ForbiddenError.
    """
    caller = known().caller
    if not caller.may_give(tuple(scopes)):
        raise ForbiddenError(f"The scopes of {caller.name} are {', '.join(caller.scopes)}: this reaches further.")


def giving(scopes: Sequence[str], *, until: datetime | None = None) -> None:
    """Let nobody give more than they have, nor for longer: a key that ends gives none that outlasts it.

    Raises ForbiddenError.
    """
    reaching(scopes)
    ends_at = known().caller.ends_at
    if ends_at is not None and (until is None or until > ends_at):
        raise ForbiddenError(f"{acting()} ends at {ends_at:%Y-%m-%d %H:%M} UTC: it can give nothing longer.")


def address_of(request: Request, settings: Settings) -> str:
    """Where a request comes from, as the outermost of TDS_PROXIES proxies saw it."""
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
    """How long sessions last here."""
    return Lifetime(settings.session_idle_seconds, settings.session_seconds)


def put_session(request: Request, response: Response, begun: Begun, settings: Settings) -> None:
    """Let the browser keep a session: out of reach of scripts, of other sites' forms, and of plain HTTP after TLS."""
    encrypted = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(
        SESSION_COOKIE, begun.token, max_age=int(settings.session_seconds), path="/",
        secure=encrypted, httponly=True, samesite="Lax",
    )  # fmt: skip


def drop_session(response: Response) -> None:
    """Let the browser forget it."""
    response.delete_cookie(SESSION_COOKIE, path="/")


def _bearer(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    kind, _, presented = header.partition(" ")
    if kind.lower() != "bearer":
        raise UnauthorizedError("This needs 'Authorization: Bearer' with an API key.")
    return presented.strip()
