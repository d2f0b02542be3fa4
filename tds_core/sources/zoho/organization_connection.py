"""The connection to a Zoho organisation: making one from an OAuth code, and the status of the present one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NotRequired, TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.configuration.versions import adopt_time_zone
from tds_core.crypto import Vault
from tds_core.data_centers import DATA_CENTERS
from tds_core.errors import AuthError
from tds_core.sources import mirrored_organization
from tds_core.sources.missing_permissions import MissingPermissionRow, missing_permissions
from tds_core.sources.zoho.oauth import CONNECT, OAuthClient, lacking
from tds_core.sources.zoho.organizations import OrganizationSeen, organizations
from tds_core.sources.zoho.tokens import store_grant

_MAKE_ROW = text("insert into tds_source_tokens (source) values ('zoho') on conflict do nothing")
# Also ends a pause that the previous connection caused.
_STORE_CONNECTION = text("""
update tds_source_tokens set paused_until = null, pause_reason = null, accounts_url = :accounts_url,
    organization_id = :organization_id, organization_name = :organization_name, connected_at = clock_timestamp()
where source = 'zoho'
""")
# Most of it was put off for lack of access; the rest only starts a little early.
_WAKE_ITEMS = text("""
update tds_sync_queue set next_attempt_at = now(), updated_at = now()
where id in (select id from tds_sync_queue where source = 'zoho' and lease_token is null
             and (snoozes > 0 or attempts = 0) and next_attempt_at > now() order by source_id for update skip locked)
""")
_WAKE_RUNS = text("""
update tds_sync_runs set next_attempt_at = now()
where source = 'zoho' and state in ('queued', 'running') and lease_token is null and next_attempt_at > now()
""")
# Permissions of the new connection are not known yet.
_CLEAR_REFUSALS = text("delete from tds_missing_permissions where source = 'zoho'")
_RESOLVE = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = 'permission_missing' and source = 'zoho' and resolved_at is null
""")
_READ_CONNECTION = text("""
select refresh_token is not null as has_refresh_token, access_token is not null as has_access_token, accounts_url,
       api_url, scopes, block_reason, organization_id, organization_name, connected_at, expires_at, updated_at,
       refused_at, refusal, paused_until, pause_reason, blocked_until, clock_timestamp() as now
from tds_source_tokens where source = 'zoho'
""")


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """A new connection: the organisations it reads, and the scopes it lacks with the entities that need each.

    `time_zone`: the organisation's, where it is the installation's from now on.
    """

    organizations: list[OrganizationSeen]
    lacking: dict[str, list[str]]
    time_zone: str | None

    def warnings(self) -> list[str]:
        """One line for each missing scope."""
        return [
            f"Not granted: {scope}. Until it is, this will not be synced: {', '.join(entities)}"
            for scope, entities in sorted(self.lacking.items())
        ]


@dataclass(frozen=True, slots=True)
class Connector:
    """Connects an organisation by an OAuth code.

    `scope` opens short transactions, none of them during a call to Zoho.
    """

    scope: Callable[[], AbstractContextManager[Session]]
    vault: Vault
    settings: Settings

    def connect(
        self, oauth: OAuthClient, code: str, *, now: datetime, redirect_uri: str | None = None
    ) -> ConnectionResult:
        """Redeem `code`, test the tokens, store them, and reschedule waiting work.

        Raises `SourceError`, or `OtherOrganizationError` when the mirror holds another organisation. Then nothing is
        stored and the previous connection stays.
        """
        grant = oauth.redeem(code, redirect_uri=redirect_uri)
        if not grant.refresh_token:
            raise AuthError(
                "Zoho gave no refresh token: the code was made for one-time access. "
                "Make a new code, or give consent again, with offline access."
            )
        seen = organizations((grant.api_url or self.settings.zoho_api_url).rstrip("/"), grant.access_token, now=now)
        organization = self._organization(seen)
        with self.scope() as session:
            mirrored_organization.check(session, "zoho", organization.id if organization else "")
            session.execute(_MAKE_ROW)
            store_grant(session, self.vault, grant)
            session.execute(
                _STORE_CONNECTION,
                {
                    "accounts_url": oauth.accounts_url,
                    "organization_id": organization.id if organization else None,
                    "organization_name": organization.name if organization else None,
                },
            )
            session.execute(_CLEAR_REFUSALS)
            session.execute(_RESOLVE)
            session.execute(_WAKE_ITEMS)
            session.execute(_WAKE_RUNS)
            zones = {each.time_zone for each in ([organization] if organization else seen)}
            adopted = adopt_time_zone(session, self.settings, zones.pop()) if len(zones) == 1 else None
        return ConnectionResult(seen, lacking(grant.scopes), adopted)

    def _organization(self, seen: Sequence[OrganizationSeen]) -> OrganizationSeen | None:
        wanted = self.settings.zoho_organization_id
        organization = next((each for each in seen if each.id == wanted), None)
        if organization is None and wanted:
            raise AuthError(f"{not_among(wanted, seen)} Consent as a user of that organisation, or set another.")
        return organization


def not_among(organization_id: str, seen: Sequence[OrganizationSeen]) -> str:
    """The message that the organisation to be mirrored is none of those a connection reads."""
    names = ", ".join(f"{each.id} ({each.name})" for each in seen) or "none"
    return f"ZOHO_ORGANIZATION_ID is {organization_id or 'not set'}; the connection reads: {names}."


class StoredConnection(TypedDict, total=False):
    """A connection without its secrets; no field is present when there is none.

    `expires_at`: of the access token; `scopes`: what was granted, None if no response named it; `refused_at` and
    `refusal`: when and why Zoho refused access; `paused_until` and `pause_reason`: of a pause of all calls;
    `blocked_until` and `block_reason`: of a pause of token requests.
    """

    has_refresh_token: bool
    has_access_token: bool
    accounts_url: str | None
    api_url: str | None
    scopes: list[str] | None
    block_reason: str | None
    organization_id: str | None
    organization_name: str | None
    connected_at: datetime | None
    expires_at: datetime | None
    updated_at: datetime
    refused_at: datetime | None
    refusal: str | None
    paused_until: datetime | None
    pause_reason: str | None
    blocked_until: datetime | None


def stored_connection(session: Session) -> StoredConnection:
    """The stored connection; empty when there is none. Ends of pauses that are over are None."""
    row = session.execute(_READ_CONNECTION).mappings().first()
    if row is None:
        return {}
    stored = dict(row)
    now: datetime = stored.pop("now")
    for until in ("paused_until", "blocked_until"):
        if stored[until] is not None and stored[until] <= now:
            stored[until] = None
    return cast("StoredConnection", stored)


def data_center_of(accounts_url: str) -> str | None:
    """The data centre an accounts address belongs to, as the consent page names it."""
    address = accounts_url.rstrip("/").lower()
    return next((name for name, (accounts, _) in DATA_CENTERS.items() if accounts == address), None)


class AccessStatus(StrEnum):
    """Whether TDS has access to the organisation."""

    CONNECTED = "connected"
    REFUSED = "refused"
    UNTRIED = "not tried yet"
    ABSENT = "not connected"


def access_status(stored: StoredConnection, settings: Settings) -> AccessStatus:
    """The status of access, from `stored_connection` and the settings."""
    if not stored.get("has_refresh_token") and not settings.zoho_refresh_token:
        return AccessStatus.ABSENT
    if stored.get("refused_at"):
        return AccessStatus.REFUSED
    return AccessStatus.CONNECTED if stored.get("has_access_token") else AccessStatus.UNTRIED


class AccessReport(TypedDict):
    """The status of access. `modules`: what may not be read, absent where there is access and nothing is refused.

    `since` and `reason`: when and why access was lost; absent where there is access.
    """

    access: AccessStatus
    since: NotRequired[datetime | None]
    reason: NotRequired[str]
    modules: NotRequired[list[MissingPermissionRow]]


def access_report(session: Session, settings: Settings) -> AccessReport:
    """The status of access."""
    stored = stored_connection(session)
    state = access_status(stored, settings)
    modules = missing_permissions(session)
    if state in (AccessStatus.CONNECTED, AccessStatus.UNTRIED):
        return {"access": state, "modules": modules} if modules else {"access": state}
    reason = stored.get("refusal") or f"not connected to Zoho. {CONNECT}"
    return {"access": state, "since": stored.get("refused_at"), "reason": reason, "modules": modules}
