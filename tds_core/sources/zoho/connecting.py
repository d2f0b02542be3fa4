"""Connecting an organisation: a code becomes a refresh token, kept encrypted, and is tried out at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import requests
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.data_centers import DATA_CENTERS
from tds_core.sources.errors import AuthError, TransientError
from tds_core.sources.zoho.answers import check
from tds_core.sources.zoho.oauth import Grant
from tds_core.sources.zoho.tokens import keep_grant

TIMEOUT_SECONDS = 15.0

_MAKE_ROW = text("insert into tds_source_tokens (source) values ('zoho') on conflict do nothing")
# What an older connection was refused must not hold up the new one.
_FORGET_REFUSALS = text("update tds_source_tokens set paused_until = null, pause_reason = null where source = 'zoho'")
_STANDING = text("""
select refresh_token is not null as has_refresh_token, access_token is not null as has_access_token, api_url,
       expires_at, updated_at, paused_until, pause_reason, blocked_until, clock_timestamp() as now
from tds_source_tokens where source = 'zoho'
""")


@dataclass(frozen=True, slots=True)
class OrganizationSeen:
    """An organisation that a token may read."""

    id: str
    name: str
    currency_code: str
    time_zone: str


def keep_connection(session: Session, vault: Vault, grant: Grant) -> None:
    """Store what a code brought. Raises AuthError when it brought no refresh token."""
    if not grant.refresh_token:
        raise AuthError(
            "Zoho gave no refresh token: the code was made for one-time access. "
            "Make a new code, or give consent again, with offline access."
        )
    session.execute(_MAKE_ROW)
    keep_grant(session, vault, grant)
    session.execute(_FORGET_REFUSALS)


def standing(session: Session) -> dict[str, Any]:
    """What is stored about the connection, without its secrets; empty when there is none."""
    row = session.execute(_STANDING).mappings().first()
    if row is None:
        return {}
    found = dict(row)
    now: datetime = found.pop("now")
    for until in ("paused_until", "blocked_until"):
        if found[until] is not None and found[until] <= now:
            found[until] = None
    return found


def organizations(api_url: str, access_token: str, *, now: datetime) -> list[OrganizationSeen]:
    """The organisations a token may read. Raises `SourceError`, which says what to do about it."""
    try:
        answer = requests.get(
            f"{api_url}/books/v3/organizations",
            headers={"Authorization": f"Zoho-oauthtoken {access_token}"},
            timeout=TIMEOUT_SECONDS,
        )
    except requests.RequestException as error:
        raise TransientError(f"{api_url}: no answer ({type(error).__name__})") from None
    check(answer.status_code, answer.content, {k.lower(): v for k, v in answer.headers.items()}, now=now)
    listed = msgspec.json.decode(answer.content, type=dict[str, Any]).get("organizations", [])
    return [
        OrganizationSeen(
            id=str(each.get("organization_id", "")),
            name=str(each.get("name", "")),
            currency_code=str(each.get("currency_code", "")),
            time_zone=str(each.get("time_zone", "")),
        )
        for each in listed
    ]


def data_center_of(accounts_url: str) -> str | None:
    """The data centre an accounts address belongs to, as the consent page names it."""
    wanted = accounts_url.rstrip("/").lower()
    return next((name for name, (accounts, _) in DATA_CENTERS.items() if accounts == wanted), None)
