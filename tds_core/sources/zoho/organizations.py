"""The organisations a token reaches, which Zoho tells whatever else it may not read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import requests

from tds_core.errors import SourceError, TransientError
from tds_core.sources.zoho.oauth import CONNECT, scope_of
from tds_core.sources.zoho.responses import TokenRefusedError, check, no_answer

ORGANIZATIONS = "organizations"
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class OrganizationSeen:
    """An organisation that a token may read."""

    id: str
    name: str
    currency_code: str
    time_zone: str


def organizations(api_url: str, access_token: str, *, now: datetime) -> list[OrganizationSeen]:
    """List the organisations a token may read. Raises `SourceError` with the next step.

    Source: Zoho Books, "List organizations".
    """
    url = f"{api_url}/books/v3/{ORGANIZATIONS}"
    headers = {"Authorization": f"Zoho-oauthtoken {access_token}"}
    try:
        answer = requests.get(url, headers=headers, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise TransientError(no_answer(url, error)) from None
    try:
        check(answer.status_code, answer.content, {k.lower(): v for k, v in answer.headers.items()}, now=now)
    except TokenRefusedError as error:
        raise TokenRefusedError(
            f"{url}: {error} The token ended early or was revoked, or the connection lacks the scope"
            f" {scope_of('books', 'users')}. {CONNECT}"
        ) from None
    except SourceError as error:
        raise type(error)(f"{url}: {error}", after_seconds=error.after_seconds) from None
    return read_organizations(answer.content)


def read_organizations(body: bytes) -> list[OrganizationSeen]:
    """The organisations in a response. Raises `TransientError` for a broken one."""
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any]).get(ORGANIZATIONS)
    except msgspec.MsgspecError as error:
        raise TransientError(f"{ORGANIZATIONS}: a broken answer: {error}") from None
    return [
        OrganizationSeen(
            id=str(each.get("organization_id", "")),
            name=str(each.get("name", "")),
            currency_code=str(each.get("currency_code", "")),
            time_zone=str(each.get("time_zone", "")),
        )
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
    ]
