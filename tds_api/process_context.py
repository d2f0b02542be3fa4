"""The context of an API process: settings, database engines, group commit, nudger and circuit breakers."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from tds_api.inbox.group_commit import GroupCommit
from tds_api.inbox.unstored_counter import UnavailabilityCounter
from tds_api.nudger import Nudger
from tds_core.breakers.registry import Breakers, open_breakers, report_database
from tds_core.config.settings import Settings
from tds_core.health.read_replica import ReadEngines, replica_engine
from tds_core.observability.metrics import watch_pool
from tds_core.observability.outages import watch_database
from tds_core.observability.slow_operations import watch_statements
from tds_core.sources import mirrored_organization
from tds_models.db import make_engine, session_scope


@dataclass(frozen=True, slots=True)
class Context:
    """One API process. Group commit has its own connection, so slow reads never delay a webhook.

    `reads`: where reads go that may lag; they see the replica, if there is one that keeps up.
    """

    settings: Settings
    engine: Engine
    group_commit: GroupCommit
    nudger: Nudger
    breakers: Breakers
    unstored: UnavailabilityCounter
    reads: ReadEngines

    def close(self) -> None:
        """Close the connections. For tests and orderly shutdown; a killed process loses nothing either."""
        self.group_commit.close()
        self.unstored.write()
        self.reads.dispose()
        self.engine.dispose()


def make_context(settings: Settings, *, nudge: Callable[[str], None]) -> Context:
    """The context for `settings`; `nudge(entity)` makes the workers of an entity look for work."""
    nudger = Nudger(nudge)
    intake_engine = make_engine(
        settings.database_url, pool_size=1, application="tds-intake", timeouts=settings.intake_timeouts
    )
    watch_pool(intake_engine, "intake")
    watch_database(intake_engine)
    engine = make_engine(settings.database_url, pool_size=4, application="tds-api", timeouts=settings.timeouts)
    mirror = mirrored_organization.OrganizationGuard(
        lambda: session_scope(engine), "zoho", settings.zoho_organization_id
    )
    group_commit = GroupCommit(
        intake_engine,
        duplicate_window_seconds=lambda: settings.duplicate_window_seconds,
        on_new_work=nudger.request,
        refusal=mirror.refusal,
    )
    breakers = open_breakers(settings)
    report_database(engine, breakers)
    watch_pool(engine, "api")
    watch_statements(engine)
    watch_database(engine)
    reads = ReadEngines(engine, replica_engine(settings), most_lag_seconds=settings.replica_lag_seconds)
    if reads.replica is not None:
        watch_pool(reads.replica, "reads")
        watch_statements(reads.replica)
    return Context(settings, engine, group_commit, nudger, breakers, UnavailabilityCounter(engine), reads)
