"""What healing may use: the settings, the database, and the hands that core has not, given by whoever runs a cycle."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.sources.base import Source

Scope = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingContext:
    """`scope` opens a transaction. `announce` tells the workers of an entity to look, False when none can be told.
    `dead` are those of some lease holders that are known to run no more. `source` makes a client by name.
    """

    settings: Settings
    scope: Scope
    breakers: Breakers
    announce: Callable[[str], bool]
    dead: Callable[[Iterable[str]], Sequence[str]]
    source: Callable[[str], Source]
