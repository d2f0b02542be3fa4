"""The table of settings: each as it is declared, its value in force, and who put that there."""

from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import RowMapping
from sqlalchemy.orm import Session

from tds_core.config.settings import DECLARATIONS, Settings
from tds_core.config.sources import Declaration
from tds_core.configuration.versions import SettingVersion, declaration_of, history, newest_versions, override_of


class SettingRow(TypedDict):
    """One setting. `environment_value`: in force unless `value` was changed; `default`: without either.

    `version`: 0 while it was never changed. Values of secrets are stars, those of addresses have no password.
    """

    key: str
    group: str
    kind: str
    unit: str
    takes: str
    low: float | None
    high: float | None
    choices: list[str]
    meaning: str
    value: Any
    environment_value: Any
    environment_source: str
    default: Any
    source: str
    version: int
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None
    is_settable: bool
    needs_restart: bool


def setting_rows(session: Session, settings: Settings) -> list[SettingRow]:
    """Every setting, in the order of the reference."""
    newest = newest_versions(session)
    return [setting_row(each, settings, newest.get(name)) for name, each in DECLARATIONS.items()]


def setting_row(declaration: Declaration, settings: Settings, newest: RowMapping | None) -> SettingRow:
    """One setting. `newest`: its newest version, if it was ever changed."""
    key, rule = declaration.variable, declaration.rule
    override = override_of(key, newest) if newest else None
    given = settings.environment_value(declaration)
    if not isinstance(given, bool | int | float) or declaration.secret:
        given = settings.shown(key) if not declaration.is_settable else str(given)
    return SettingRow(
        key=key, group=declaration.group, kind=declaration.kind, unit=declaration.unit, takes=declaration.takes,
        low=rule.low, high=rule.high, choices=list(rule.choices), meaning=declaration.meaning,
        value=override.value if override else given, environment_value=given,
        environment_source=settings.environment_source(key), default=declaration.default,
        source="changed" if override else "environment", version=newest["version"] if newest else 0,
        changed_at=newest["changed_at"] if newest else None, changed_by=newest["changed_by"] if newest else None,
        reason=newest["reason"] if newest else None, is_settable=declaration.is_settable,
        needs_restart=not declaration.is_settable,
    )  # fmt: skip


class SettingStory(SettingRow):
    """A setting with its newest versions, the newest first."""

    versions: list[SettingVersion]


STORY_LENGTH = 100


def setting_story(session: Session, settings: Settings, key: str) -> SettingStory:
    """One setting with its newest STORY_LENGTH versions. Raises NotFoundError."""
    declaration = declaration_of(key)
    row = setting_row(declaration, settings, newest_versions(session).get(declaration.variable))
    return {**row, "versions": history(session, key=declaration.variable, limit=STORY_LENGTH).items}
