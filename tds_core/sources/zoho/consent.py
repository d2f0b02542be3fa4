"""The way to Zoho's consent page and back: a state that is good once and not for long, and servers that are known."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config import Settings
from tds_core.data_centers import DATA_CENTERS
from tds_core.sources.errors import AuthError

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
MENDS = {
    "access_denied": "Somebody chose not to give access. Start again and accept, as an administrator.",
    "invalid_client": "The data centre does not know ZOHO_CLIENT_ID: choose the one the client was registered in.",
    "invalid_redirect_uri": "Register the redirect address shown below with the client, then start again.",
    "invalid_scope": "The client may not ask for the scopes TDS needs.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A consent that was asked for: where, and where the answer was to go."""

    accounts_url: str
    redirect_uri: str


def begin(session: Session, asked: Asked) -> str:
    """The state to send along to the consent page."""
    state = secrets.token_urlsafe(32)
    session.execute(_EXPIRE)
    given = {"accounts_url": asked.accounts_url, "redirect_uri": asked.redirect_uri, "seconds": CONSENT_SECONDS}
    session.execute(_BEGIN, {"digest": _digest(state), **given})
    return state


def take(session: Session, state: str) -> Asked | None:
    """What was asked for under `state`; a second time, or too late, `None`."""
    row = session.execute(_TAKE, {"digest": _digest(state)}).first()
    return Asked(row.accounts_url, row.redirect_uri) if row and row.is_live else None


def refusal(error: str) -> AuthError:
    """What to tell when the consent page came back with `error` instead of a code."""
    mend = MENDS.get(error, "Start again.")
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
