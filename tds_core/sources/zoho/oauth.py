"""Zoho's OAuth: trades a refresh token or a code for tokens, and reads the errors Zoho hides in good answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
import requests

from tds_core.sources.errors import AuthError, RateError, TransientError
from tds_core.sources.zoho.receiving import receive
from tds_models.entities import ENTITIES

_PRODUCTS = {"books": "ZohoBooks", "inventory": "ZohoInventory"}
_STREAMS = [entity.stream for entity in ENTITIES.values() if entity.stream.source == "zoho"]
#: What TDS reads.
SCOPES = tuple(sorted({f"{_PRODUCTS[each.api]}.{each.right or each.path}.READ" for each in _STREAMS}))
#: What setting up webhooks takes beside it.
AUTOMATION_SCOPES = tuple(f"ZohoBooks.settings.{verb}" for verb in ("CREATE", "UPDATE", "DELETE"))
# More than ten tokens in ten minutes and Zoho answers nothing else for the rest of the ten.
TOKEN_BLOCK_SECONDS = 600.0

#: How an operator connects the organisation, anew or for the first time.
CONNECT = "Run `tds zoho connect`, or open /api/tds/zoho/oauth/start in a browser."
MENDS = {
    "invalid_code": f"The refresh token or code is wrong, used up or revoked. {CONNECT}",
    "invalid_client": "Check ZOHO_CLIENT_ID and that ZOHO_DATA_CENTER is where the organisation lives.",
    "invalid_client_secret": "Check ZOHO_CLIENT_SECRET.",
    "invalid_redirect_uri": "The redirect address is not the one registered for this client.",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token endpoint gave. `lifetime_seconds` counts from now; a refresh brings no new refresh token."""

    access_token: str
    lifetime_seconds: float
    api_url: str | None
    refresh_token: str | None


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
        return self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def redeem(self, code: str, *, redirect_uri: str | None = None) -> Grant:
        """The tokens for a code of the consent page, or (without redirect) of the console's self client."""
        extra = {"redirect_uri": redirect_uri} if redirect_uri else {}
        return self._ask({"grant_type": "authorization_code", "code": code, **extra})

    def _ask(self, form: dict[str, str]) -> Grant:
        sent = {**form, "client_id": self.client_id, "client_secret": self.client_secret}
        try:
            url = f"{self.accounts_url}/oauth/v2/token"
            answer = requests.post(url, data=sent, timeout=self.timeout_seconds, stream=True)
            body = receive(answer, within_seconds=self.timeout_seconds)
        except requests.RequestException as error:
            raise TransientError(f"token endpoint: no answer ({type(error).__name__})") from None
        return read_grant(answer.status_code, body)


def read_grant(status: int, body: bytes) -> Grant:
    """The grant in an answer of the token endpoint. Errors come with any status, also 200: the body decides."""
    try:
        said: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise TransientError(f"token endpoint: HTTP {status} without JSON") from None
    error = said.get("error")
    if error == "Access Denied":
        raise RateError("token endpoint: too many tokens were asked for", after_seconds=TOKEN_BLOCK_SECONDS)
    if error:
        mend = MENDS.get(str(error), "")
        raise AuthError(f"token endpoint: {error}. {mend}".rstrip(), after_seconds=60)
    if status >= 500 or not said.get("access_token"):
        raise TransientError(f"token endpoint: HTTP {status} without a token")
    return Grant(
        access_token=str(said["access_token"]),
        lifetime_seconds=float(said.get("expires_in_sec") or said.get("expires_in") or 3600),
        api_url=said.get("api_domain") or None,
        refresh_token=said.get("refresh_token") or None,
    )
