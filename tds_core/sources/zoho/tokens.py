"""Access tokens shared by all processes: kept encrypted in the database, refreshed early, by one at a time."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.sources.errors import AuthError, RateError, SourceError, TransientError
from tds_core.sources.zoho.oauth import Grant, OAuthClient

EARLY_SECONDS = 300.0
# How long one process may take to refresh before another tries.
REFRESH_LEASE_SECONDS = 20.0
POLL_SECONDS = 0.2

READ = text("""
select access_token, refresh_token, api_url, expires_at, blocked_until, clock_timestamp() as now,
       extract(epoch from expires_at - clock_timestamp())::float8 as left_seconds,
       extract(epoch from blocked_until - clock_timestamp())::float8 as blocked_seconds
from tds_source_tokens where source = 'zoho'
""")

# Zero rows: somebody else is refreshing, or has done so since we looked.
TAKE_TURN = text("""
insert into tds_source_tokens as t (source, refreshing_until)
values ('zoho', clock_timestamp() + make_interval(secs => :lease))
on conflict (source) do update set refreshing_until = excluded.refreshing_until
where coalesce(t.refreshing_until, '-infinity') < clock_timestamp()
  and t.expires_at is not distinct from cast(:seen as timestamptz)
returning 1
""")

KEEP = text("""
update tds_source_tokens set access_token = :access, api_url = coalesce(:api_url, api_url),
    refresh_token = coalesce(:refresh, refresh_token), refreshing_until = null, blocked_until = null,
    updated_at = now(), expires_at = clock_timestamp() + make_interval(secs => :lifetime)
where source = 'zoho'
""")

GIVE_UP_TURN = text("""
update tds_source_tokens set refreshing_until = null,
    blocked_until = case when :blocked > 0 then clock_timestamp() + make_interval(secs => :blocked) end
where source = 'zoho'
""")

Scope = Callable[[], AbstractContextManager[Session]]


class SharedTokens:
    """The organisation's access token. `scope` opens a short transaction; none is open while Zoho is asked."""

    def __init__(self, scope: Scope, vault: Vault, oauth: OAuthClient, *, refresh_token: str, api_url: str) -> None:
        self._scope = scope
        self._vault = vault
        self._oauth = oauth
        self._refresh_token = refresh_token
        self._api_url = api_url
        self._held: tuple[str, str] | None = None
        self._held_until = 0.0

    def current(self) -> tuple[str, str]:
        """A token good for some minutes yet, and its API host."""
        if self._held is None or time.monotonic() >= self._held_until:
            self._held = self._look(refused=None)
        return self._held

    def renew(self, refused: str) -> tuple[str, str]:
        """A token other than `refused`: somebody else's, or a new one."""
        self._held = self._look(refused=refused)
        return self._held

    def _look(self, *, refused: str | None) -> tuple[str, str]:
        waited_until = time.monotonic() + 2 * REFRESH_LEASE_SECONDS
        while time.monotonic() < waited_until:
            with self._scope() as session:
                row: Any = session.execute(READ).mappings().first() or {}
            token = self._open(row.get("access_token"))
            left = row.get("left_seconds") or 0.0
            if token and token != refused and left > EARLY_SECONDS:
                return self._hold(token, row.get("api_url"), left)
            if (row.get("blocked_seconds") or 0.0) > 0:
                raise RateError("token endpoint: blocked for now", after_seconds=row["blocked_seconds"])
            if self._take_turn(row.get("expires_at")):
                return self._refresh(self._open(row.get("refresh_token")))
            if token and token != refused and left > 0:
                return self._hold(token, row.get("api_url"), left)  # old, but good while somebody refreshes
            time.sleep(POLL_SECONDS)
        raise TransientError("waited in vain for another process to refresh the access token")

    def _open(self, locked: bytes | None) -> str | None:
        """A key that does not fit is a lack of access: work waits for an operator, without using attempts."""
        try:
            return self._vault.open(locked)
        except ConfigError as error:
            raise AuthError(str(error), after_seconds=60) from None

    def _take_turn(self, seen: datetime | None) -> bool:
        with self._scope() as session:
            given = {"lease": REFRESH_LEASE_SECONDS, "seen": seen}
            return session.execute(TAKE_TURN, given).first() is not None

    def _refresh(self, stored: str | None) -> tuple[str, str]:
        refresh_token = stored or self._refresh_token
        try:
            if not refresh_token:
                raise AuthError("not connected to Zoho: run `tds zoho connect`", after_seconds=60)
            grant = self._oauth.refresh(refresh_token)
        except SourceError as error:
            with self._scope() as session:
                blocked = error.after_seconds if isinstance(error, RateError) else 0.0
                session.execute(GIVE_UP_TURN, {"blocked": blocked})
            raise
        with self._scope() as session:
            keep_grant(session, self._vault, grant)
        return self._hold(grant.access_token, grant.api_url, grant.lifetime_seconds)

    def _hold(self, token: str, api_url: str | None, left_seconds: float) -> tuple[str, str]:
        self._held_until = time.monotonic() + max(0.0, left_seconds - EARLY_SECONDS)
        return token, (api_url or self._api_url).rstrip("/")


def keep_grant(session: Session, vault: Vault, grant: Grant) -> None:
    """Store a grant, encrypted. The row must exist (`TAKE_TURN` makes it)."""
    session.execute(
        KEEP,
        {
            "access": vault.lock(grant.access_token),
            "refresh": vault.lock(grant.refresh_token) if grant.refresh_token else None,
            "api_url": grant.api_url,
            "lifetime": grant.lifetime_seconds,
        },
    )
