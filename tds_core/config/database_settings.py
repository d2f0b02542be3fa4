"""Settings of the database: its timeouts, by use."""

import dataclasses

from tds_core.config import declaration as d
from tds_core.config import sources as env
from tds_models.db import Timeouts

_SECONDS = env.whole(1, 3600)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """A part of `tds_core.config.settings.Settings`."""

    database_connect_seconds: int = d.database(
        "TDS_DATABASE_CONNECT_SECONDS", "integer", 5, "Longest wait for a connection to PostgreSQL.", env.whole(2, 60)
    )
    database_statement_seconds: int = d.database(
        "TDS_DATABASE_STATEMENT_SECONDS", "integer", 10, "The same for a statement of workers and pages.", _SECONDS
    )
    database_intake_seconds: int = d.database(
        "TDS_DATABASE_INTAKE_SECONDS", "integer", 3, "The same for the one that stores webhooks.", env.whole(1, 60)
    )
    database_report_seconds: int = d.database(
        "TDS_DATABASE_REPORT_SECONDS", "integer", 120, "The same of commands and upkeep.", _SECONDS
    )
    database_lock_seconds: int = d.database(
        "TDS_DATABASE_LOCK_SECONDS", "integer", 2, "Longest wait for a lock that others hold.", env.whole(1, 600)
    )

    @property
    def timeouts(self) -> Timeouts:
        """Timeouts of workers and of API requests."""
        return Timeouts(
            connect=self.database_connect_seconds,
            statement=self.database_statement_seconds,
            lock=self.database_lock_seconds,
        )

    @property
    def intake_timeouts(self) -> Timeouts:
        """Timeouts of storing webhooks, whose senders wait."""
        connect = min(self.database_connect_seconds, max(2, self.database_intake_seconds))
        return Timeouts(connect=connect, statement=self.database_intake_seconds, lock=1)

    @property
    def leader_timeouts(self) -> Timeouts:
        """Timeouts of the dispatcher, whose lock lasts as long as its connection: PostgreSQL ends a silent one."""
        return dataclasses.replace(self.timeouts, session=10)

    @property
    def report_timeouts(self) -> Timeouts:
        """Timeouts of commands, which may scan whole tables."""
        return dataclasses.replace(self.timeouts, statement=self.database_report_seconds, idle=0)
