"""Zoho's OAuth: the consent page and its single-use state, scopes, and the token endpoint with its errors."""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from urllib.parse import urlencode

import msgspec
import requests
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.data_centers import DATA_CENTERS
from tds_core.errors import AuthError, RateError, TransientError
from tds_core.sources.zoho.responses import no_answer, receive
from tds_models.entities import ENTITIES

CONSENT_SECONDS = 900.0

_EXPIRE = text("delete from tds_consents where expires_at <= clock_timestamp()")
_BEGIN = text("""
insert into tds_consents (state_digest, accounts_url, redirect_uri, expires_at)
values (:digest, :accounts_url, :redirect_uri, clock_timestamp() + make_interval(secs => :seconds))
""")
_TAKE = text("""
delete from tds_consents where state_digest = :digest
returning accounts_url, redirect_uri, expires_at > clock_timestamp() as is_live
""")

#: What the errors of the consent page mean, and what to do.
CONSENT_REMEDIES = {
    "access_denied": "Somebody chose not to give access. Start again and accept, as an administrator.",
    "invalid_client": "The data centre does not know ZOHO_CLIENT_ID: choose the one the client was registered in.",
    "invalid_redirect_uri": "Register the redirect address shown below with the client, then start again.",
    "invalid_scope": "The client may not ask for the scopes TDS needs.",
}


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A consent page that was opened: its accounts server, and the redirect address."""

    accounts_url: str
    redirect_uri: str


def begin(session: Session, request: ConsentRequest) -> str:
    """Store a request for consent. Returns the state to pass to the consent page."""
    state = secrets.token_urlsafe(32)
    session.execute(_EXPIRE)
    params = {"accounts_url": request.accounts_url, "redirect_uri": request.redirect_uri, "seconds": CONSENT_SECONDS}
    session.execute(_BEGIN, {"digest": _digest(state), **params})
    return state


def take(session: Session, state: str) -> ConsentRequest | None:
    """Redeem `state` once. Returns its request; None if it is unknown, used or expired."""
    row = session.execute(_TAKE, {"digest": _digest(state)}).first()
    return ConsentRequest(row.accounts_url, row.redirect_uri) if row and row.is_live else None


def refusal(error: str) -> AuthError:
    """The error for a consent page that returned `error` instead of a code."""
    remedy = CONSENT_REMEDIES.get(error, "Start again.")
    return AuthError(f"Zoho's consent page said {error[:80]!r}. {remedy}")


def accounts_servers(settings: Settings) -> dict[str, str]:
    """The permitted accounts servers by data centre; an address in the settings replaces its data centre's."""
    known = {name: accounts for name, (accounts, _) in DATA_CENTERS.items()}
    return {**known, settings.zoho_data_center: settings.zoho_accounts_url}


def known_server(settings: Settings, accounts_url: str) -> str:
    """The permitted accounts server equal to `accounts_url`. Raises `AuthError` for others: the secret goes there."""
    plain = accounts_url.rstrip("/").lower()
    for known in accounts_servers(settings).values():
        if known.lower() == plain:
            return known
    raise AuthError(
        f"The answer named {accounts_url[:80]!r} as its accounts server, which is none of Zoho's that TDS knows."
        " If it is a data centre of Zoho's, set ZOHO_ACCOUNTS_URL to it and ZOHO_API_URL to its API, then start again."
    )


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).digest()


_PRODUCTS = {"books": "ZohoBooks", "inventory": "ZohoInventory"}
_STREAMS = [entity.stream for entity in ENTITIES.values() if entity.stream.source == "zoho"]
#: Scopes that mirroring needs.
SCOPES = tuple(sorted({f"{_PRODUCTS[each.api]}.{each.right or each.path}.READ" for each in _STREAMS}))
#: Scopes that setting up webhooks needs in addition.
AUTOMATION_SCOPES = tuple(f"ZohoBooks.settings.{verb}" for verb in ("CREATE", "UPDATE", "DELETE"))


def scope_of(api: str, path: str) -> str:
    """The scope that permits reading `path` of an API."""
    right = next((each.right for each in _STREAMS if (each.api, each.path) == (api, path) and each.right), None)
    return f"{_PRODUCTS[api]}.{right or path.partition('/')[0]}.READ"


def covers(granted: Iterable[str], scope: str) -> bool:
    """Whether one of the granted scopes includes `scope`."""
    product, module, verb = scope.lower().split(".")
    parts = [each.lower().split(".") for each in granted]
    return any(
        part[0] == product and part[1] in {module, "fullaccess"} and part[2] in {verb, "all"}
        for part in parts
        if len(part) == 3
    )


def lacking(granted: Iterable[str] | None) -> dict[str, list[str]]:
    """The scopes that were not granted, each with the entities it is needed for. Empty if the grant is not known."""
    known = tuple(granted or ())
    missing: dict[str, list[str]] = {}
    for name, entity in ENTITIES.items():
        scope = scope_of(entity.stream.api, entity.stream.path)
        if known and entity.stream.source == "zoho" and not covers(known, scope):
            missing.setdefault(scope, []).append(name)
    return missing


# More than ten tokens in ten minutes and Zoho answers nothing else for the rest of the ten.
TOKEN_BLOCK_SECONDS = 600.0
# Any other limit comes from a gateway.
LIMIT_SECONDS = 60.0
#: Lifetime of a token whose response states none, or an implausible one.
USUAL_SECONDS = 3600.0
# No token lives longer than a day; a larger figure is in milliseconds, as Zoho once sent it.
LONGEST_SECONDS = 86_400.0
# With a shorter lifetime a token would be renewed at every call; a token that does end early is renewed when refused.
SHORTEST_SECONDS = 600.0

#: How an operator connects the organisation.
CONNECT = "Run `tds zoho connect`, or open /api/tds/zoho/oauth/start in a browser."
_REGISTER = "Register the client at the API console of the data centre the organisation lives in."
#: Lasting errors of the token endpoint (Zoho's and those of RFC 6749) and their remedies. Any other error is transient:
#: Zoho sometimes returns `general_error` for a request it accepts a moment later.
REMEDIES = {
    "invalid_code": f"The refresh token is wrong or revoked. {CONNECT}",
    "invalid_grant": f"The refresh token is wrong or revoked. {CONNECT}",
    "invalid_token": f"The refresh token is wrong or revoked. {CONNECT}",
    "invalid_client": f"Check ZOHO_CLIENT_ID and that ZOHO_DATA_CENTER is where the organisation lives. {_REGISTER}",
    "invalid_client_id": f"Check ZOHO_CLIENT_ID. {_REGISTER}",
    "invalid_client_secret": "Check ZOHO_CLIENT_SECRET.",
    "invalid_redirect_uri": "The redirect address is not the one registered for this client.",
    "invalid_scope": f"The client may not ask for the scopes TDS needs. {CONNECT}",
    "unauthorized_client": f"The client is of a kind that may not do this. {_REGISTER}",
    "unsupported_grant_type": f"The client is of a kind that may not do this. {_REGISTER}",
}
_CODE = (
    "The code is wrong, used up or too old: it works once, for 10 minutes at most, one of the consent page for 2."
    " Make a new one and give it at once: tds zoho connect --code CODE (in a browser: start again)."
)
#: The same for redeeming a code.
CODE_REMEDIES = {**REMEDIES, "invalid_code": _CODE, "invalid_grant": _CODE}
_TOO_MANY = "Access Denied"


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of one response of the token endpoint. A refresh brings no new refresh token.

    `lifetime_seconds`: from now on. `scopes`: the granted ones, None if not stated.
    """

    access_token: str
    lifetime_seconds: float
    api_url: str | None
    refresh_token: str | None
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class OAuthClient:
    """One registered client at one accounts server."""

    accounts_url: str
    client_id: str
    client_secret: str
    timeout_seconds: float = 15.0

    def authorize_url(self, *, redirect_uri: str, state: str, scopes: Sequence[str] = SCOPES) -> str:
        """The consent page where an administrator of the organisation grants access, with a refresh token."""
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "scope": ",".join(scopes),
            "redirect_uri": redirect_uri,
            "access_type": "offline",
            "prompt": "consent",
            "state": state,
        }
        return f"{self.accounts_url}/oauth/v2/auth?{urlencode(query)}"

    def refresh(self, refresh_token: str) -> Grant:
        """A new access token. Raises `AuthError`, `RateError` or `TransientError`."""
        return self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token}, REMEDIES)

    def redeem(self, code: str, *, redirect_uri: str | None = None) -> Grant:
        """Redeem a code of the consent page, or (without `redirect_uri`) of the console's self client.

        Raises `AuthError`, `RateError` or `TransientError`.
        """
        extra = {"redirect_uri": redirect_uri} if redirect_uri else {}
        return self._ask({"grant_type": "authorization_code", "code": code, **extra}, CODE_REMEDIES)

    def _ask(self, form: dict[str, str], remedies: Mapping[str, str]) -> Grant:
        sent = {**form, "client_id": self.client_id, "client_secret": self.client_secret}
        url = f"{self.accounts_url}/oauth/v2/token"
        try:
            answer = requests.post(url, data=sent, timeout=self.timeout_seconds, stream=True)
            body = receive(answer, within_seconds=self.timeout_seconds)
        except requests.RequestException as error:
            raise TransientError(f"token endpoint: {no_answer(url, error)}") from None
        return read_grant(answer.status_code, body, where=self.accounts_url, remedies=remedies)


def read_grant(status: int, body: bytes, *, where: str = "Zoho", remedies: Mapping[str, str] = REMEDIES) -> Grant:
    """The grant in a response of the token endpoint at `where`. Errors come with any status: the body decides.

    Raises `AuthError` for lasting errors (the keys of `remedies`), `RateError` for limits, else `TransientError`.
    Source: Zoho, "OAuth 2.0: access token"; RFC 6749 section 5.2.
    """
    at = f"token endpoint of {where}"
    try:
        response: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        response = {}
    error = str(response.get("error") or "")[:100]
    if error == _TOO_MANY or "too many requests" in str(response.get("error_description")).lower():
        raise RateError(_limited(at, TOKEN_BLOCK_SECONDS), after_seconds=TOKEN_BLOCK_SECONDS)
    if error in remedies:
        raise AuthError(f"{at}: {error}. {remedies[error]}", after_seconds=60)
    if status == 429:
        raise RateError(_limited(at, LIMIT_SECONDS), after_seconds=LIMIT_SECONDS)
    token = response.get("access_token")
    if error or status >= 400 or not token or not isinstance(token, str):
        raise TransientError(f"{at}: HTTP {status}, {error or 'no token in the answer'}")
    return Grant(
        access_token=token,
        lifetime_seconds=_lifetime(response),
        api_url=_address(response.get("api_domain")),
        refresh_token=str(response["refresh_token"]) if response.get("refresh_token") else None,
        scopes=_scopes(response.get("scope")),
    )


def _limited(at: str, seconds: float) -> str:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"{at}: too many tokens were asked for; it gives none until {until:%H:%M:%S} UTC, then it goes on by itself"


def _lifetime(response: Mapping[str, Any]) -> float:
    """The lifetime of a token in seconds; implausible figures are corrected or ignored."""
    for key in ("expires_in_sec", "expires_in"):
        try:
            seconds = float(response.get(key) or 0)
        except (TypeError, ValueError):
            continue
        if 0 < seconds < inf:
            seconds = seconds / 1000 if seconds > LONGEST_SECONDS else seconds
            return min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
    return USUAL_SECONDS


def _address(value: object) -> str | None:
    return value.rstrip("/") if isinstance(value, str) and re.match(r"https?://[^\s/]", value) else None


def _scopes(value: object) -> tuple[str, ...] | None:
    """The scopes in a response, separated by blanks or commas; None if not stated."""
    names = re.split(r"[\s,]+", value.strip(" ,")) if isinstance(value, str) else []
    return tuple(sorted(each for each in names if each)) or None
