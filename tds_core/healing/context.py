"""The healing context: settings, transactions, breakers, and the callbacks a healing cycle needs from its process."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.sources import registry
from tds_core.sources.base import Source

Scope = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingContext:
    """What the healing actions use.

    `scope` opens a transaction. `announce` nudges the workers of an entity; False when no message could be sent.
    `dead` returns those of some lease holders whose process is known to have ended. `source` opens a client by name.
    """

    settings: Settings
    scope: Scope
    breakers: Breakers
    announce: Callable[[str], bool]
    dead: Callable[[Iterable[str]], Sequence[str]]
    source: Callable[[str], Source]


def healing_context(
    settings: Settings,
    scope: Scope,
    breakers: Breakers,
    *,
    announce: Callable[[str], bool],
    dead: Callable[[Iterable[str]], Sequence[str]],
) -> HealingContext:
    """A context whose sources are opened with the same settings, transactions and breakers."""
    return HealingContext(
        settings=settings,
        scope=scope,
        breakers=breakers,
        announce=announce,
        dead=dead,
        source=lambda name: registry.open_source(name, settings, scope, breakers),
    )
