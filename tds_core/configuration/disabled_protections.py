"""Switches of protections: which of auto-healing and circuit breakers are off, since when and by whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tds_core.config.overrides import overrides
from tds_core.config.settings import DECLARATIONS, Settings

#: By the variable that switches it, a protection and what does not happen while it is off.
SWITCHES: Final[Mapping[str, tuple[str, str]]] = {
    "AUTO_HEALING_ENABLED": ("auto-healing", "nothing is healed unless a person asks for it"),
    "CIRCUIT_BREAKER_ENABLED": ("circuit breakers", "calls are made however often they fail"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchedOff:
    """A protection that is off. `since_at`, `by`, `reason`: None where the environment has it off."""

    key: str
    name: str
    says: str
    since_at: datetime | None
    by: str | None
    reason: str | None


def switched_off(settings: Settings) -> list[SwitchedOff]:
    """The protections that are off, as this process knows it; needs no database."""
    return [
        _switched_off(key, name, effect)
        for key, (name, effect) in SWITCHES.items()
        if not settings.value_of(DECLARATIONS[key])
    ]


def _switched_off(key: str, name: str, effect: str) -> SwitchedOff:
    override = overrides.of(key)
    if override is None:
        says = f"{name} off by the environment ({key}): {effect}"
        return SwitchedOff(key=key, name=name, says=says, since_at=None, by=None, reason=None)
    says = f"{name} off since {override.changed_at:%Y-%m-%d %H:%M} UTC by {override.changed_by}: {effect}"
    return SwitchedOff(
        key=key, name=name, says=says, since_at=override.changed_at, by=override.changed_by, reason=override.reason
    )  # fmt: skip
