"""The facts rules are measured by: read once for one evaluation, each part when a rule first needs it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.health.infrastructure import InstallationFacts, infrastructure_health, redis_answers

Scope = Callable[[], AbstractContextManager[Session]]


class AlertFacts:
    """What one evaluation knows. Each part is read in a transaction of its own, so one that fails fails alone."""

    def __init__(self, scope: Scope, settings: Settings, breakers: Breakers) -> None:
        self.scope = scope
        self.settings = settings
        self.breakers = breakers

    @cached_property
    def health(self) -> InstallationFacts:
        """The facts by which components of TDS are judged healthy."""
        with self.scope() as session:
            return infrastructure_health(session, self.settings)

    @cached_property
    def redis_answers(self) -> bool:
        """Whether Redis answers; without an address of it there is none to be lost."""
        return not self.settings.redis_url or redis_answers(self.settings.redis_url)

    def rows(self, query: str, params: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        """The rows of a query, read in a transaction of its own."""
        with self.scope() as session:
            return session.execute(text(query), dict(params or {})).mappings().all()
