"""Whether TDS is let in at Zoho: connected, refused, not tried yet or not connected at all, and since when."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from tds_core.config import Settings
from tds_core.reading.permissions import missing_permissions
from tds_core.sources.zoho.connecting import standing
from tds_core.sources.zoho.oauth import CONNECT


class Access(StrEnum):
    """How access does."""

    CONNECTED = "connected"
    REFUSED = "refused"
    UNTRIED = "not tried yet"
    ABSENT = "not connected"


def access(stored: Mapping[str, Any], settings: Settings) -> Access:
    """How access does by what is stored (see `standing`) and what the settings bring."""
    if not stored.get("has_refresh_token") and not settings.zoho_refresh_token:
        return Access.ABSENT
    if stored.get("refused_at"):
        return Access.REFUSED
    return Access.CONNECTED if stored.get("has_access_token") else Access.UNTRIED


def connection(session: Session, settings: Settings) -> dict[str, Any]:
    """How access does, for machines; where there is none: since when, and why, with what to do about it."""
    stored = standing(session)
    state = access(stored, settings)
    modules = missing_permissions(session)
    if state in (Access.CONNECTED, Access.UNTRIED):
        return {"access": state, **({"modules": modules} if modules else {})}
    reason = stored.get("refusal") or f"not connected to Zoho. {CONNECT}"
    return {"access": state, "since": stored.get("refused_at"), "reason": reason, "modules": modules}
