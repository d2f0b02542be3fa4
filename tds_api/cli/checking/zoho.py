"""Checks of what lies between TDS and Zoho: settings, time, access, and the webhooks that Zoho was given."""

import time
from email.utils import parsedate_to_datetime

import requests
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.checking.finding import Finding, doubtful, judged, well, wrong
from tds_core.breakers.setup import open_breakers
from tds_core.config import Settings
from tds_core.errors import ConfigError, TdsError
from tds_core.reading.connection import Access, connection
from tds_core.sources.zoho.rules.setup import open_mender
from tds_core.sources.zoho.setup import open_zoho
from tds_models.db import make_engine, session_scope
from tds_models.entities import ENTITIES

# Access itself is not a setting: it is kept in the database.
_NEEDED = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_ORGANIZATION_ID", "ZOHO_WEBHOOK_SECRET")
# Access tokens live an hour and are renewed five minutes early.
SKEW_SECONDS = 60.0


def signatures(settings: Settings) -> Finding:
    """Whether anybody could post webhooks."""
    if settings.unsigned_webhooks:
        return wrong("Signatures", "webhooks are taken unsigned", "Unset TDS_UNSIGNED_WEBHOOKS.")
    return well("Signatures", "webhooks must be signed")


def settings_for_zoho(settings: Settings) -> Finding:
    """Whether the settings for Zoho are complete."""
    try:
        settings.require(*_NEEDED)
    except ConfigError as error:
        return wrong("Zoho", "settings are incomplete", str(error))
    return well("Zoho", f"organisation {settings.zoho_organization_id} in {settings.zoho_data_center}")


def clock(settings: Settings) -> Finding:
    """Whether Zoho answers from here, and has the same time."""
    try:
        answer = requests.head(settings.zoho_accounts_url, timeout=(5, 10), allow_redirects=False)
    except requests.RequestException as error:
        mend = f"curl -I {settings.zoho_accounts_url}; a proxy is taken from HTTPS_PROXY"
        return wrong("Way to Zoho", f"{settings.zoho_accounts_url}: {type(error).__name__}", mend)
    try:
        skew = abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return well("Way to Zoho", f"{settings.zoho_accounts_url} answers, and does not tell the time")
    says = f"{settings.zoho_accounts_url} answers, its clock is {skew:.0f} s away"
    return judged("Way to Zoho", skew <= SKEW_SECONDS, says, "timedatectl set-ntp true")


def access(settings: Settings) -> Finding:
    """Whether Zoho lets TDS in, as far as is known without asking."""
    if not settings.database_url:
        return doubtful("Zoho access", "is kept in the database, which does not run", "tds up, then: tds doctor")
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli")
    try:
        with session_scope(engine) as session:
            found = connection(session, settings)
    except SQLAlchemyError:
        return doubtful("Zoho access", "is kept in the database, which cannot be read", "tds migrate")
    finally:
        engine.dispose()
    if found["access"] is Access.UNTRIED:
        return doubtful("Zoho access", "was never tried", "tds zoho status")
    mend = "tds zoho connect"
    return judged("Zoho access", found["access"] is Access.CONNECTED, found.get("reason") or found["access"], mend)


def webhooks(settings: Settings) -> Finding:
    """Whether Zoho has been told where to send what; asks Zoho."""
    if not settings.public_url:
        mend = "Set TDS_PUBLIC_URL, then: tds zoho webhooks install"
        return doubtful("Zoho webhooks", "TDS_PUBLIC_URL is unset: only scheduled syncs bring changes", mend)
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli")
    try:
        client = open_zoho(settings, lambda: session_scope(engine), open_breakers(settings))
        plan = open_mender(settings, client).look(list(ENTITIES.values()))
    except TdsError as error:
        return doubtful("Zoho webhooks", f"could not be looked at: {error}", "tds zoho webhooks status")
    finally:
        engine.dispose()
    if plan.is_fulfilled:
        return well("Zoho webhooks", f"{len(plan.places)} are installed and active")
    says = f"{len(plan.to_mend)} of {len(plan.places)} are missing, differ or are not active"
    return wrong("Zoho webhooks", says, "tds zoho webhooks install")
