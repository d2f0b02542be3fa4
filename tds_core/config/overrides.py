"""Overrides: the values of settings that operators changed at run time, as this process last read them.

They are of the process: whichever copy of its settings a reader holds, a settable setting has its newest value.
"""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tds_core.config.sources import Declaration


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value in force in place of the environment's, and who put it there."""

    value: Any
    version: int
    changed_at: datetime
    changed_by: str
    reason: str | None


class Overrides:
    """The overrides of this process by variable; replaced as a whole, so that readers need no lock."""

    def __init__(self) -> None:
        self._by_variable: Mapping[str, Override] = {}

    def replace(self, by_variable: Mapping[str, Override]) -> None:
        """Put these overrides in force, and no others."""
        self._by_variable = dict(by_variable)

    def of(self, variable: str) -> Override | None:
        """The override of a setting; None while the environment's value is in force."""
        return self._by_variable.get(variable)


#: Those of this process; `tds_core.configuration.refresh` keeps them up to date.
overrides = Overrides()


class SettableValue:
    """The attribute of a settable setting: reads its override, or what the environment gave these settings."""

    def __init__(self, field: str, declaration: Declaration) -> None:
        self._field, self._variable = field, declaration.variable

    def __get__(self, settings: Any, _: Any = None) -> Any:
        override = overrides.of(self._variable)
        return settings.__dict__[self._field] if override is None else override.value

    def __set__(self, settings: Any, value: Any) -> None:
        settings.__dict__[self._field] = value
