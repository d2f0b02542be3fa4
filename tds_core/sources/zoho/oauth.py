"""Zoho's OAuth: trades a refresh token or a code for tokens, and reads the errors Zoho hides in good answers.

The way to Zoho's consent page and back: a state that is good once and not for long, and servers that are known.
"""

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
from tds_core.sources.zoho.responses import receive, silence
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
    """A consent that was asked for: where, and where the answer was to go."""

    accounts_url: str
    redirect_uri: str


def begin(session: Session, asked: ConsentRequest) -> str:
    """The state to send along to the consent page."""
    state = secrets.token_urlsafe(32)
    session.execute(_EXPIRE)
    params = {"accounts_url": asked.accounts_url, "redirect_uri": asked.redirect_uri, "seconds": CONSENT_SECONDS}
    session.execute(_BEGIN, {"digest": _digest(state), **params})
    return state


def take(session: Session, state: str) -> ConsentRequest | None:
    """What was asked for under `state`; a second time, or too late, `None`."""
    row = session.execute(_TAKE, {"digest": _digest(state)}).first()
    return ConsentRequest(row.accounts_url, row.redirect_uri) if row and row.is_live else None


def refusal(error: str) -> AuthError:
    """What to tell when the consent page came back with `error` instead of a code."""
    mend = CONSENT_REMEDIES.get(error, "Start again.")
    return AuthError(f"Zoho's consent page said {error[:80]!r}. {mend}")


def accounts_servers(settings: Settings) -> dict[str, str]:
    """The accounts servers that may be used, by data centre; an address set by hand takes its data centre's place."""
    known = {name: accounts for name, (accounts, _) in DATA_CENTERS.items()}
    return {**known, settings.zoho_data_center: settings.zoho_accounts_url}


def known_server(settings: Settings, accounts_url: str) -> str:
    """`accounts_url` as it is known. The client's secret goes there, so AuthError for any other."""
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
#: What TDS reads.
SCOPES = tuple(sorted({f"{_PRODUCTS[each.api]}.{each.right or each.path}.READ" for each in _STREAMS}))
#: What setting up webhooks takes beside it.
AUTOMATION_SCOPES = tuple(f"ZohoBooks.settings.{verb}" for verb in ("CREATE", "UPDATE", "DELETE"))


def scope_of(api: str, path: str) -> str:
    """The scope that reading `path` of an API takes."""
    right = next((each.right for each in _STREAMS if (each.api, each.path) == (api, path) and each.right), None)
    return f"{_PRODUCTS[api]}.{right or path.partition('/')[0]}.READ"


def covers(granted: Iterable[str], scope: str) -> bool:
    """Whether one of the scopes that were granted reaches as far as `scope`."""
    product, module, verb = scope.lower().split(".")
    parts = [each.lower().split(".") for each in granted]
    return any(
        part[0] == product and part[1] in {module, "fullaccess"} and part[2] in {verb, "all"}
        for part in parts
        if len(part) == 3
    )


def lacking(granted: Iterable[str] | None) -> dict[str, list[str]]:
    """The scopes TDS reads with that were not granted, each with the entities that cannot be read without it.

    Empty where it is not known what was granted.
    """
    known = tuple(granted or ())
    missing: dict[str, list[str]] = {}
    for name, entity in ENTITIES.items():
        scope = scope_of(entity.stream.api, entity.stream.path)
        if known and entity.stream.source == "zoho" and not covers(known, scope):
            missing.setdefault(scope, []).append(name)
    return missing


# More than ten tokens in ten minutes and Zoho answers nothing else for the rest of the ten.
TOKEN_BLOCK_SECONDS = 600.0
# Any other limit of the token endpoint is a gateway's.
LIMIT_SECONDS = 60.0
#: What a token is good for that says nothing to be believed about it.
USUAL_SECONDS = 3600.0
# No token lives longer than a day: such a figure is in milliseconds, as Zoho once wrote it.
LONGEST_SECONDS = 86_400.0
# A token that is said to last less would be renewed at every call; should it end early, that is noticed when it does.
SHORTEST_SECONDS = 600.0

#: How an operator connects the organisation, anew or for the first time.
CONNECT = "Run `tds zoho connect`, or open /api/tds/zoho/oauth/start in a browser."
_REGISTER = "Register the client at the API console of the data centre the organisation lives in."
#: Refusals of the token endpoint that no waiting ends, Zoho's and those of RFC 6749, and what does. Any other word of
#: it passes: now and then it says `general_error` to what it takes a moment later.
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
#: The same where a code is traded in.
CODE_MENDS = {**REMEDIES, "invalid_code": _CODE, "invalid_grant": _CODE}
_TOO_MANY = "Access Denied"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token endpoint gave. `lifetime_seconds` counts from now; a refresh brings no new refresh token.

    `scopes`: what was granted, where the answer says so.
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
        """Where an administrator of the organisation gives TDS access (with a refresh token)."""
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
        """The tokens for a code of the consent page, or (without redirect) of the console's self client."""
        extra = {"redirect_uri": redirect_uri} if redirect_uri else {}
        return self._ask({"grant_type": "authorization_code", "code": code, **extra}, CODE_MENDS)

    def _ask(self, form: dict[str, str], mends: Mapping[str, str]) -> Grant:
        sent = {**form, "client_id": self.client_id, "client_secret": self.client_secret}
        url = f"{self.accounts_url}/oauth/v2/token"
        try:
            answer = requests.post(url, data=sent, timeout=self.timeout_seconds, stream=True)
            body = receive(answer, within_seconds=self.timeout_seconds)
        except requests.RequestException as error:
            raise TransientError(f"token endpoint: {silence(url, error)}") from None
        return read_grant(answer.status_code, body, where=self.accounts_url, mends=mends)


def read_grant(status: int, body: bytes, *, where: str = "Zoho", mends: Mapping[str, str] = REMEDIES) -> Grant:
    """The grant in an answer of the token endpoint at `where`. Errors come with any status: the body decides.

    Raises AuthError for what is known to last (`mends` says what ends it), RateError for a limit, and TransientError
    for everything else.
    """
    at = f"token endpoint of {where}"
    try:
        said: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        said = {}
    error = str(said.get("error") or "")[:100]
    if error == _TOO_MANY or "too many requests" in str(said.get("error_description")).lower():
        raise RateError(_limited(at, TOKEN_BLOCK_SECONDS), after_seconds=TOKEN_BLOCK_SECONDS)
    if error in mends:
        raise AuthError(f"{at}: {error}. {mends[error]}", after_seconds=60)
    if status == 429:
        raise RateError(_limited(at, LIMIT_SECONDS), after_seconds=LIMIT_SECONDS)
    token = said.get("access_token")
    if error or status >= 400 or not token or not isinstance(token, str):
        raise TransientError(f"{at}: HTTP {status}, {error or 'no token in the answer'}")
    return Grant(
        access_token=token,
        lifetime_seconds=_lifetime(said),
        api_url=_address(said.get("api_domain")),
        refresh_token=str(said["refresh_token"]) if said.get("refresh_token") else None,
        scopes=_scopes(said.get("scope")),
    )


def _limited(at: str, seconds: float) -> str:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"{at}: too many tokens were asked for; it gives none until {until:%H:%M:%S} UTC, then it goes on by itself"


def _lifetime(said: Mapping[str, Any]) -> float:
    """For how many seconds a token may be used; figures that cannot be are not believed."""
    for key in ("expires_in_sec", "expires_in"):
        try:
            seconds = float(said.get(key) or 0)
        except (TypeError, ValueError):
            continue
        if 0 < seconds < inf:
            seconds = seconds / 1000 if seconds > LONGEST_SECONDS else seconds
            return min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
    return USUAL_SECONDS


def _address(told: object) -> str | None:
    return told.rstrip("/") if isinstance(told, str) and re.match(r"https?://[^\s/]", told) else None


def _scopes(told: object) -> tuple[str, ...] | None:
    """The scopes of an answer, which separates them by blanks or commas; None where it does not say."""
    named = re.split(r"[\s,]+", told.strip(" ,")) if isinstance(told, str) else []
    return tuple(sorted(each for each in named if each)) or None
