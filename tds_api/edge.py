"""What every route needs of this process: its settings, its database and its intake."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from tds_api.bell import Bell
from tds_api.intake import Intake
from tds_api.unstored import UnstoredCount
from tds_core.breakers.breakers import Breakers
from tds_core.breakers.database import report_database
from tds_core.breakers.setup import open_breakers
from tds_core.config import Settings
from tds_core.outages import watch_database
from tds_core.pools import watch_pool
from tds_core.slow import watch_statements
from tds_core.sources import organization
from tds_models.db import make_engine, session_scope


@dataclass(frozen=True, slots=True)
class Edge:
    """One API process. The intake has a connection of its own, so slow reads never hold up a webhook."""

    settings: Settings
    engine: Engine
    intake: Intake
    bell: Bell
    breakers: Breakers
    unstored: UnstoredCount

    def close(self) -> None:
        """Give the connections back. For tests and orderly ends; a killed process loses nothing either."""
        self.intake.close()
        self.unstored.write()
        self.engine.dispose()


def make_edge(settings: Settings, *, nudge: Callable[[str], None]) -> Edge:
    """The edge for `settings`; `nudge(entity)` tells the workers of an entity to look."""
    bell = Bell(nudge)
    own = make_engine(settings.database_url, pool_size=1, application="tds-intake", patience=settings.intake_patience)
    watch_pool(own, "intake")
    watch_database(own)
    engine = make_engine(settings.database_url, pool_size=4, application="tds-api", patience=settings.patience)
    mirror = organization.Watch(lambda: session_scope(engine), "zoho", settings.zoho_organization_id)
    intake = Intake(
        own,
        duplicate_window_seconds=settings.duplicate_window_seconds,
        told=bell.ask,
        refusal=mirror.refusal,
    )
    breakers = open_breakers(settings)
    report_database(engine, breakers)
    watch_pool(engine, "api")
    watch_statements(engine)
    watch_database(engine)
    return Edge(settings, engine, intake, bell, breakers, UnstoredCount(engine))
