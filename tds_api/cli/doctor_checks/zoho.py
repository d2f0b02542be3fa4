"""Checks of what lies between TDS and Zoho: settings, time, access, and the webhooks that Zoho was given."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime

import requests
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.doctor_checks.result import CheckResult, database_session, doubtful, judged, well, wrong
from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import Settings
from tds_core.errors import ConfigError, TdsError
from tds_core.sources import mirrored_organization
from tds_core.sources.missing_permissions import MissingPermissionRow, describe
from tds_core.sources.zoho.factory import open_zoho
from tds_core.sources.zoho.oauth import lacking
from tds_core.sources.zoho.organization_connection import (
    AccessStatus,
    StoredConnection,
    access_report,
    stored_connection,
)
from tds_core.sources.zoho.responses import no_answer
from tds_core.sources.zoho.webhook_setup.apply import open_installer
from tds_models.db import make_engine, session_scope
from tds_models.entities import ENTITIES

# Access itself is not a setting: it is kept in the database.
_NEEDED = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_ORGANIZATION_ID")
# Access tokens live an hour and are renewed five minutes early.
SKEW_SECONDS = 60.0


def signatures(settings: Settings) -> CheckResult:
    """Whether webhooks must be signed."""
    if settings.unsigned_webhooks:
        return wrong("Signatures", "webhooks are taken unsigned", "Unset TDS_UNSIGNED_WEBHOOKS.")
    if settings.zoho_webhook_secret:
        return well("Signatures", "webhooks must be signed")
    if settings.public_url:
        mend = "Set ZOHO_WEBHOOK_SECRET (openssl rand -hex 24), then: tds zoho webhooks install"
        return doubtful("Signatures", "ZOHO_WEBHOOK_SECRET is unset: every webhook is refused", mend)
    return well("Signatures", "no webhooks are expected: neither TDS_PUBLIC_URL nor ZOHO_WEBHOOK_SECRET is set")


def settings_for_zoho(settings: Settings) -> CheckResult:
    """Whether the settings for Zoho are complete."""
    try:
        settings.require(*_NEEDED)
    except ConfigError as error:
        return wrong("Zoho", "settings are incomplete", str(error))
    try:
        if settings.database_url:
            with suppress(SQLAlchemyError), database_session(settings) as session:
                mirrored_organization.check(session, "zoho", settings.zoho_organization_id)
    except mirrored_organization.OtherOrganizationError as error:
        return wrong("Zoho", "the database is another organisation's", str(error))
    return well("Zoho", f"organisation {settings.zoho_organization_id} in {settings.zoho_data_center}")


def ways(settings: Settings) -> Iterator[CheckResult]:
    """Whether Zoho answers from here where calls go: at its login and its API, as the connection names them."""
    stored: StoredConnection = {}
    if settings.database_url:
        with suppress(SQLAlchemyError), database_session(settings) as session:
            stored = stored_connection(session)
    accounts = (stored.get("accounts_url") if stored.get("has_refresh_token") else "") or settings.zoho_accounts_url
    yield _way("Way to Zoho", accounts)
    yield _way("Way to its API", (stored.get("api_url") or settings.zoho_api_url).rstrip("/"))


def _way(check: str, url: str) -> CheckResult:
    """Whether an address answers from here, and has the same time."""
    try:
        answer = requests.head(url, timeout=(5, 10), allow_redirects=False)
    except requests.RequestException as error:
        return wrong(check, no_answer(url, error), f"curl -I {url}; a proxy is taken from HTTPS_PROXY")
    try:
        skew = abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return well(check, f"{url} answers, without its time")
    says = f"{url} answers, its clock is {skew:.0f} s away"
    return judged(check, skew <= SKEW_SECONDS, says, "timedatectl set-ntp true")


def connection_result(settings: Settings) -> CheckResult:
    """Whether Zoho admits TDS and lets it read everything, as far as is known without a call."""
    if not settings.database_url:
        return doubtful("Zoho access", "is kept in the database, which does not run", "tds up, then: tds doctor")
    try:
        with database_session(settings) as session:
            found, stored = access_report(session, settings), stored_connection(session)
    except SQLAlchemyError:
        return doubtful("Zoho access", "is kept in the database, which cannot be read", "tds migrate")
    if found["access"] is AccessStatus.UNTRIED:
        return doubtful("Zoho access", "was never tried", "tds zoho status")
    if found["access"] is not AccessStatus.CONNECTED:
        refused_at = found.get("since")
        since = f", since {refused_at.astimezone():%Y-%m-%d %H:%M:%S %Z}" if refused_at else ""
        return wrong("Zoho access", f"{found.get('reason') or found['access']}{since}", "tds zoho connect")
    return _reach(found.get("modules", []), lacking(stored.get("scopes"))) or well("Zoho access", found["access"])


def _reach(missing: Sequence[MissingPermissionRow], scopes: Mapping[str, Sequence[str]]) -> CheckResult | None:
    """The result for modules or scopes the connection lacks; None if it lacks none."""
    if missing:
        says = f"not all of it may be read: {'; '.join(describe(each) for each in missing)}"
        return wrong("Zoho access", says, "tds zoho connect; once a right was given in Zoho: tds zoho retry")
    if scopes:
        says = "; ".join(f"{scope} was not granted ({', '.join(names)})" for scope, names in sorted(scopes.items()))
        return wrong("Zoho access", says, "tds zoho connect")
    return None


def webhooks(settings: Settings) -> CheckResult:
    """Whether the webhooks are installed at Zoho; costs calls."""
    if not settings.public_url:
        mend = "Set TDS_PUBLIC_URL, then: tds zoho webhooks install"
        return doubtful("Zoho webhooks", "TDS_PUBLIC_URL is unset: only scheduled syncs bring changes", mend)
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli")
    try:
        client = open_zoho(settings, lambda: session_scope(engine), open_breakers(settings))
        plan = open_installer(settings, client).plan(list(ENTITIES.values()))
    except TdsError as error:
        return doubtful("Zoho webhooks", f"could not be looked at: {error}", "tds zoho webhooks status")
    finally:
        engine.dispose()
    if plan.is_fulfilled:
        return well("Zoho webhooks", f"{len(plan.places)} are installed and active")
    says = f"{len(plan.to_apply)} of {len(plan.places)} are missing, differ or are not active"
    return wrong("Zoho webhooks", says, "tds zoho webhooks install")
