"""Versions of settings: those in force, their history, and changes by operators."""

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, TypedDict

import msgspec
from sqlalchemy import RowMapping, and_, select, text
from sqlalchemy.orm import Session, aliased

from tds_core.config.overrides import Override
from tds_core.config.settings import DECLARATIONS, SETTABLE, Settings
from tds_core.config.sources import Declaration, InvalidValueError, typed_value
from tds_core.errors import NotFoundError, TdsError
from tds_core.pagination import Page, read_page
from tds_models.configuration import ConfigurationVersion


class StaleConfigurationError(TdsError):
    """Another operator changed the setting meanwhile."""

    code = "stale_configuration"


class SettingVersion(TypedDict):
    """One version of a setting. `value`, `value_before`: None where the environment's was in force."""

    key: str
    version: int
    value: Any
    value_before: Any
    changed_at: datetime
    changed_by: str
    reason: str | None


_NEWEST = text("""
select distinct on (key) key, version, value, changed_at, changed_by, reason from tds_configuration
order by key, version desc
""")
_EARLIER_VALUES = text("select distinct value from tds_configuration where key = :key and value is not null")
_TIME_ZONE = "TDS_TIME_ZONE"
_NEWEST_OF = text("select version, value from tds_configuration where key = :key order by version desc limit 1")
# Of two versions with one number, one is refused: whoever was later has not seen the other.
_INSERT = text("""
insert into tds_configuration (key, version, value, changed_by, reason)
values (:key, :version, cast(:value as jsonb), :by, :reason) on conflict do nothing returning version
""")


def declaration_of(key: str) -> Declaration:
    """The declaration of a setting by its variable, in any case, with or without TDS_. Raises NotFoundError."""
    name = key.strip().upper()[:80]
    found = DECLARATIONS.get(name) or DECLARATIONS.get(f"TDS_{name}")
    if found is None:
        near = get_close_matches(name, DECLARATIONS, n=3) or get_close_matches(f"TDS_{name}", DECLARATIONS, n=3)
        hint = f"Near it: {', '.join(near)}." if near else "All of them: tds config"
        raise NotFoundError(f"No setting is called {key[:80]!r}. {hint}")
    return found


def newest_versions(session: Session) -> Mapping[str, RowMapping]:
    """By key, the newest version of every setting that was ever changed."""
    return {row["key"]: row for row in session.execute(_NEWEST).mappings()}


def overrides_in_force(session: Session) -> tuple[dict[str, Override], dict[str, int]]:
    """By variable, the values in force in place of the environment's; and the versions that are not.

    The latter hold what this version of TDS does not know or does not accept: the environment's value is in force.
    """
    newest = newest_versions(session)
    found = {key: override for key, row in newest.items() if (override := override_of(key, row))}
    ignored = {key: row["version"] for key, row in newest.items() if row["value"] is not None and key not in found}
    return found, ignored


def override_of(key: str, row: RowMapping) -> Override | None:
    """What the newest version of a setting puts in force; None if that is the environment's value."""
    if row["value"] is None or key not in SETTABLE:
        return None
    try:
        value = typed_value(SETTABLE[key], row["value"])
    except InvalidValueError:
        return None
    return Override(
        value=value, version=row["version"], changed_at=row["changed_at"], changed_by=row["changed_by"],
        reason=row["reason"],
    )  # fmt: skip


def earlier_values(session: Session, key: str) -> list[Any]:
    """Every value that a setting had at run time, the present one among them."""
    return list(session.execute(_EARLIER_VALUES, {"key": key}).scalars())


def adopt_time_zone(session: Session, settings: Settings, zone: str) -> str | None:
    """Put the time zone of a connected organisation in force, where nobody chose one. Returns it if that was done."""
    is_chosen = settings.environment_source(_TIME_ZONE) != "default" or _newest_of(session, _TIME_ZONE) is not None
    if is_chosen or zone == settings.time_zone:
        return None
    try:
        change(session, _TIME_ZONE, zone, by="tds", reason="the connected organisation's")
    except InvalidValueError:  # Zoho's own abbreviations among them
        return None
    return zone


def change(
    session: Session, key: str, value: Any, *, by: str, reason: str | None = None, seen_version: int | None = None
) -> int:
    """Put a value in force, or with None the environment's again. Returns the version in force.

    Where nothing changes that is the present one; 0: never changed. `seen_version`: the one the operator looked at.
    Raises `NotFoundError`, `InvalidValueError`, and `StaleConfigurationError` when another version came meanwhile.
    """
    declaration = declaration_of(key)
    key = declaration.variable
    if not declaration.is_settable:
        raise InvalidValueError(
            f"{key} is read when a process starts: set it in the environment or .env, then start TDS again."
        )
    wanted = None if value is None else typed_value(declaration, value)
    row = _newest_of(session, key)
    version, present = (row["version"], row["value"]) if row else (0, None)
    if seen_version is not None and seen_version != version:
        raise StaleConfigurationError(
            f"{key} is at version {version} by now, not {seen_version}: look again, tds config history {key}"
        )
    if wanted == present:
        return int(version)
    params = {
        "key": key, "version": version + 1, "value": None if wanted is None else msgspec.json.encode(wanted).decode(),
        "by": by, "reason": reason,
    }  # fmt: skip
    if session.execute(_INSERT, params).first() is None:
        raise StaleConfigurationError(f"{key} was changed at the same time: look again, tds config history {key}")
    return int(version) + 1


def _newest_of(session: Session, key: str) -> RowMapping | None:
    return session.execute(_NEWEST_OF, {"key": key}).mappings().first()


def history(
    session: Session, *, key: str | None = None, cursor: str | None = None, limit: int = 50
) -> Page[SettingVersion]:
    """Versions, the newest first, each with the value before it; `key`: of one setting. Raises `InvalidCursorError`."""
    shown, before = ConfigurationVersion.__table__.c, aliased(ConfigurationVersion)
    statement = select(*shown, before.value.label("value_before")).outerjoin(
        before, and_(before.key == shown.key, before.version == shown.version - 1)
    )
    if key is not None:
        statement = statement.where(shown.key == declaration_of(key).variable)
    return read_page(
        session, statement, keys=[shown.changed_at, shown.key, shown.version], cursor=cursor, limit=limit
    )  # fmt: skip
