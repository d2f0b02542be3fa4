"""Access tokens shared by all processes: stored encrypted in the database, refreshed early, by one at a time."""

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.breakers.registry import TOKENS, Breakers
from tds_core.crypto import Vault
from tds_core.errors import AuthError, ConfigError, NotAskedError, RateError, SourceError, TransientError
from tds_core.sources.zoho.oauth import CONNECT, Grant, OAuthClient

log = structlog.get_logger(__name__)

EARLY_SECONDS = 300.0
# How long one process may take for a refresh before another tries.
REFRESH_LEASE_SECONDS = 20.0
POLL_SECONDS = 0.2
# Zoho limits the tokens it issues within this time; renewals of refused tokens are counted over the same time.
RENEWAL_WINDOW_SECONDS = 600.0
# A token endpoint that returns neither a token nor a known error is asked again after this, doubling each time.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 15.0
# A caller waits for a retry this near; for a later one its work is put off instead.
LONGEST_WAIT_SECONDS = 2.5
# Refused credentials are tried again this rarely, in case the refusal was a fault of the endpoint.
REFUSED_SECONDS = 600.0
# How long work without access is put off.
ACCESS_SECONDS = 60.0

_READ_TOKENS = text("""
select access_token, refresh_token, accounts_url, api_url, expires_at, refusal, refused_credentials,
       block_reason, failed_count, blocked_until,
       extract(epoch from expires_at - clock_timestamp())::float8 as left_seconds,
       extract(epoch from blocked_until - clock_timestamp())::float8 as blocked_seconds
from tds_source_tokens where source = 'zoho'
""")

# Zero rows: another process is refreshing, or has refreshed since the row was read.
_CLAIM_REFRESH = text("""
insert into tds_source_tokens as t (source, refreshing_until)
values ('zoho', clock_timestamp() + make_interval(secs => :lease))
on conflict (source) do update set refreshing_until = excluded.refreshing_until
where coalesce(t.refreshing_until, '-infinity') < clock_timestamp()
  and t.expires_at is not distinct from cast(:seen as timestamptz)
returning 1
""")

_STORE_GRANT = text("""
update tds_source_tokens set access_token = :access, api_url = coalesce(:api_url, api_url),
    refresh_token = coalesce(:refresh, refresh_token), refreshing_until = null, blocked_until = null,
    block_reason = null, failed_count = 0,
    scopes = case when cast(:refresh as bytea) is null then coalesce(cast(:scopes as text[]), scopes) else :scopes end,
    renewal_count = case when not :renewed then renewal_count
                         when renewals_since > clock_timestamp() - make_interval(secs => :window) then renewal_count + 1
                         else 1 end,
    renewals_since = case when not :renewed or renewals_since > clock_timestamp() - make_interval(secs => :window)
                          then renewals_since else clock_timestamp() end,
    refused_at = null, refusal = null, refused_credentials = null, updated_at = now(),
    expires_at = clock_timestamp() + make_interval(secs => :lifetime)
where source = 'zoho'
""")

_END_REFRESH = text("""
update tds_source_tokens set refreshing_until = null, block_reason = :reason,
    failed_count = case when :passes then failed_count + 1 else 0 end,
    blocked_until = clock_timestamp() + make_interval(secs => case when :passes
        then least(:longest, :first * power(2, least(failed_count, 20))) else :blocked end),
    refused_at = case when :refusal <> '' then coalesce(refused_at, clock_timestamp()) else refused_at end,
    refusal = coalesce(nullif(:refusal, ''), refusal),
    refused_credentials = coalesce(:credentials, refused_credentials)
where source = 'zoho'
returning extract(epoch from blocked_until - clock_timestamp())::float8
""")

_RELEASE_REFRESH = text("update tds_source_tokens set refreshing_until = null where source = 'zoho'")

Scope = Callable[[], AbstractContextManager[Session]]


class TokenStore:
    """The organisation's access token. `scope` opens a short transaction; none is open during a call to Zoho."""

    def __init__(
        self,
        scope: Scope,
        vault: Vault,
        oauth: OAuthClient,
        *,
        refresh_token: str,
        api_url: str,
        breakers: Breakers | None = None,
    ) -> None:
        self._scope = scope
        self._breakers = breakers or Breakers()
        self._vault = vault
        self._oauth = oauth
        self._refresh_token = refresh_token
        self._api_url = api_url
        self._cached: tuple[str, str] | None = None
        self._cached_until = 0.0
        self._new: str | None = None

    def current(self) -> tuple[str, str]:
        """A token valid for some minutes more, and its API host. Raises `SourceError`."""
        if self._cached is None or time.monotonic() >= self._cached_until:
            self._cached = self._obtain(refused=None)
        return self._cached

    def renew(self, refused: str) -> tuple[str, str]:
        """A token other than `refused`, renewed by this or another process, and its API host. Raises `SourceError`."""
        self._new = None
        self._cached = self._obtain(refused=refused)
        return self._cached

    def stored(self, *, other_than: str) -> tuple[str, str] | None:
        """A valid token that another process has renewed meanwhile, and its API host; None if there is no other."""
        with self._scope() as session:
            row: Any = session.execute(_READ_TOKENS).mappings().first() or {}
        token, left = self._open(row.get("access_token")), row.get("left_seconds") or 0.0
        if not token or token == other_than or left <= 0:
            return None
        self._cached = self._cache(token, row.get("api_url"), left)
        return self._cached

    def is_new(self, token: str) -> bool:
        """Whether Zoho issued `token` to this process at the last `renew`."""
        return token == self._new

    def _obtain(self, *, refused: str | None) -> tuple[str, str]:
        deadline = time.monotonic() + 2 * REFRESH_LEASE_SECONDS
        while time.monotonic() < deadline:
            with self._scope() as session:
                row: Any = session.execute(_READ_TOKENS).mappings().first() or {}
            token = self._open(row.get("access_token"))
            left, blocked = row.get("left_seconds") or 0.0, row.get("blocked_seconds") or 0.0
            if token and token != refused and left > EARLY_SECONDS:
                return self._cache(token, row.get("api_url"), left)
            is_usable = bool(token) and token != refused and left > 0
            try:
                renewed = self._renewed(row, blocked, is_renewal=token is not None and token == refused and left > 0)
            except SourceError:
                if not is_usable:
                    raise
                renewed = None
            if renewed is not None:
                return renewed
            if token and is_usable:
                return self._cache(token, row.get("api_url"), left)  # expires soon, but is valid
            time.sleep(min(max(blocked, 0.05), POLL_SECONDS))
        raise TransientError("waited in vain for another process to refresh the access token")

    def _renewed(self, row: Any, blocked: float, *, is_renewal: bool) -> tuple[str, str] | None:
        """A new token and its host; None if another process is refreshing, or the endpoint may be asked in a moment."""
        oauth, refresh_token = self._credentials(row)
        if blocked > 0:
            if row["failed_count"] and blocked <= LONGEST_WAIT_SECONDS:
                return None
            _raise_block(row, _digest(oauth, refresh_token))
        if not self._claim_refresh(row.get("expires_at")):
            return None
        return self._refresh(oauth, refresh_token, is_renewal=is_renewal)

    def _open(self, locked: bytes | None) -> str | None:
        """Decrypt a token. A wrong key is an `AuthError`, so that work waits for an operator without using attempts."""
        try:
            return self._vault.open(locked)
        except ConfigError as error:
            raise AuthError(str(error), after_seconds=ACCESS_SECONDS) from None

    def _credentials(self, row: Any) -> tuple[OAuthClient, str]:
        """The stored connection, with the accounts server it was made at; without one, the settings."""
        stored = self._open(row.get("refresh_token"))
        if stored is None:
            return self._oauth, self._refresh_token
        return replace(self._oauth, accounts_url=row.get("accounts_url") or self._oauth.accounts_url), stored

    def _claim_refresh(self, seen: datetime | None) -> bool:
        with self._scope() as session:
            params = {"lease": REFRESH_LEASE_SECONDS, "seen": seen}
            return session.execute(_CLAIM_REFRESH, params).first() is not None

    def _refresh(self, oauth: OAuthClient, refresh_token: str, *, is_renewal: bool) -> tuple[str, str] | None:
        try:
            if not refresh_token:
                raise AuthError(f"not connected to Zoho. {CONNECT}", after_seconds=ACCESS_SECONDS)
            with self._breakers.guard(TOKENS):
                grant = oauth.refresh(refresh_token)
        except TransientError as error:
            retry_seconds = self._end_refresh(error, _digest(oauth, refresh_token))
            if retry_seconds > LONGEST_WAIT_SECONDS or error.waits_for:
                raise
            return None
        except SourceError as error:
            self._end_refresh(error, _digest(oauth, refresh_token))
            raise
        with self._scope() as session:
            store_grant(session, self._vault, grant, is_renewal=is_renewal)
        self._new = grant.access_token
        return self._cache(grant.access_token, grant.api_url, grant.lifetime_seconds)

    def _end_refresh(self, error: SourceError, credentials: bytes) -> float:
        """Store the failure for all processes, so that none repeats the call too early.

        Returns for how many seconds the token endpoint is not asked.
        """
        params: dict[str, Any] = {"blocked": 0.0, "refusal": "", "credentials": None, "reason": str(error)[:500]}
        if isinstance(error, AuthError):
            log.error("source_access_refused", detail=str(error))
            params |= {"blocked": REFUSED_SECONDS, "refusal": str(error)[:500], "credentials": credentials}
        elif isinstance(error, RateError):
            params["blocked"] = _without_pause(error).after_seconds
            log.warning("source_tokens_limited", detail=str(error))
        elif not isinstance(error, TransientError):  # an open breaker: it sets the time of the next call
            with self._scope() as session:
                session.execute(_RELEASE_REFRESH)
            return error.after_seconds
        params |= {"passes": isinstance(error, TransientError)}
        params |= {"first": FIRST_RETRY_SECONDS, "longest": LONGEST_RETRY_SECONDS}
        with self._scope() as session:
            return float(session.execute(_END_REFRESH, params).scalar_one())

    def _cache(self, token: str, api_url: str | None, left_seconds: float) -> tuple[str, str]:
        self._cached_until = time.monotonic() + max(0.0, left_seconds - EARLY_SECONDS)
        return token, (api_url or self._api_url).rstrip("/")


def _digest(oauth: OAuthClient, refresh_token: str) -> bytes:
    return hashlib.sha256(
        "\0".join((oauth.accounts_url, oauth.client_id, oauth.client_secret, refresh_token)).encode()
    ).digest()


def _raise_block(row: Any, credentials: bytes) -> None:
    """Raise the error that blocks the token endpoint, unless it was caused by credentials other than `credentials`."""
    left, until = row["blocked_seconds"], row["blocked_until"].astimezone(UTC)
    if row["failed_count"]:
        message = f"{row['block_reason']}; it is asked again at {until:%H:%M:%S} UTC"
        raise _without_pause(NotAskedError(message, after_seconds=left))
    if row["refusal"] is None:
        message = row["block_reason"] or f"token endpoint: blocked until {until:%H:%M:%S} UTC"
        raise _without_pause(RateError(message, after_seconds=left))
    if bytes(row["refused_credentials"]) == credentials:
        raise AuthError(row["refusal"], after_seconds=ACCESS_SECONDS)


def _without_pause(error: SourceError) -> SourceError:
    """Mark `error` as needing no pause of the source: processes with a valid token may go on."""
    error.needs_no_pause = True
    return error


def store_grant(session: Session, vault: Vault, grant: Grant, *, is_renewal: bool = False) -> None:
    """Store a grant, encrypted. Its row must exist. `is_renewal`: the token before it was refused before it expired."""
    session.execute(
        _STORE_GRANT,
        {
            "access": vault.lock(grant.access_token),
            "refresh": vault.lock(grant.refresh_token) if grant.refresh_token else None,
            "api_url": grant.api_url,
            "lifetime": grant.lifetime_seconds,
            "scopes": list(grant.scopes) if grant.scopes else None,
            "renewed": is_renewal,
            "window": RENEWAL_WINDOW_SECONDS,
        },
    )


_STORED_TOKENS = text("select source, access_token, refresh_token from tds_source_tokens order by source for update")
_REPLACE_TOKENS = text("""
update tds_source_tokens set access_token = :access_token, refresh_token = :refresh_token where source = :source
""")


def reencrypt(session: Session, vault: Vault) -> int:
    """Encrypt every stored token with the newest key, so that previous keys can be removed. Returns their number.

    Raises `ConfigError` when no key opens one of them.
    """
    count = 0
    for row in session.execute(_STORED_TOKENS).mappings().all():
        names = ("access_token", "refresh_token")
        session.execute(_REPLACE_TOKENS, {"source": row["source"], **{name: vault.relock(row[name]) for name in names}})
        count += sum(row[name] is not None for name in names)
    return count
