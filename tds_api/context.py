"""What every route needs of this process: its settings, its database and its intake."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from tds_api.inbox.group_commit import GroupCommit
from tds_api.inbox.unavailability import UnstoredCount
from tds_api.nudger import Nudger
from tds_core.breakers.registry import Breakers, open_breakers, report_database
from tds_core.config.settings import Settings
from tds_core.observability.metrics import watch_pool, watch_statements
from tds_core.observability.outages import watch_database
from tds_core.sources import mirrored_organization
from tds_models.db import make_engine, session_scope


@dataclass(frozen=True, slots=True)
class Context:
    """One API process. The intake has a connection of its own, so slow reads never hold up a webhook."""

    settings: Settings
    engine: Engine
    intake: GroupCommit
    bell: Nudger
    breakers: Breakers
    unstored: UnstoredCount

    def close(self) -> None:
        """Give the connections back. For tests and orderly ends; a killed process loses nothing either."""
        self.intake.close()
        self.unstored.write()
        self.engine.dispose()


def make_context(settings: Settings, *, nudge: Callable[[str], None]) -> Context:
    """The edge for `settings`; `nudge(entity)` tells the workers of an entity to look."""
    bell = Nudger(nudge)
    own = make_engine(settings.database_url, pool_size=1, application="tds-intake", timeouts=settings.intake_timeouts)
    watch_pool(own, "intake")
    watch_database(own)
    engine = make_engine(settings.database_url, pool_size=4, application="tds-api", timeouts=settings.timeouts)
    mirror = mirrored_organization.OrganizationGuard(
        lambda: session_scope(engine), "zoho", settings.zoho_organization_id
    )
    intake = GroupCommit(
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
    return Context(settings, engine, intake, bell, breakers, UnstoredCount(engine))
