"""The read replica: which engine serves a read that may lag, and how far the replica is behind.

It is used while it is a replica, answers, and lags no more than TDS_REPLICA_LAG_SECONDS; otherwise the primary serves.
Claims, authentication, configuration and everything that writes never come here.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_models.db import make_replica_engine

log = structlog.get_logger(__name__)

#: How long what is known of the replica is believed.
LOOK_SECONDS = 1.0

_PRIMARY = text("select pg_current_wal_lsn()::text as at, extract(epoch from clock_timestamp())::float8 as now")
# What was written before the primary was asked has been replayed, or the newest commit that was says how old this is.
_REPLICA = text("""
select pg_is_in_recovery() as is_replica,
    case when not pg_is_in_recovery() then null
         when pg_last_wal_replay_lsn() >= cast(:at as pg_lsn) then 0
         when pg_last_xact_replay_timestamp() is null then null
         else greatest(0, :now - extract(epoch from pg_last_xact_replay_timestamp())) end::float8 as lag_seconds
""")


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The replica as last seen. `lag_seconds`: None while it is not known; `why`: why it is not used, else empty."""

    lag_seconds: float | None
    why: str = ""

    @property
    def is_used(self) -> bool:
        """Whether reads go to it."""
        return not self.why


@dataclass(frozen=True, slots=True)
class WrittenPosition:
    """How far the primary had written (`at`, in its log) at a moment of its clock, in seconds since 1970."""

    at: str
    now: float


def written_position(session: Session) -> WrittenPosition:
    """How far the primary has written. Raises SQLAlchemyError, also on a replica."""
    row = session.execute(_PRIMARY).one()
    return WrittenPosition(row.at, row.now)


def replica_status(written: WrittenPosition, replica: Engine, *, most_lag_seconds: float) -> ReplicaStatus:
    """Ask the replica how far it is behind what the primary had written. Raises nothing."""
    try:
        with replica.connect() as connection:
            seen = connection.execute(_REPLICA, {"at": written.at, "now": written.now}).one()
    except SQLAlchemyError as error:
        return ReplicaStatus(None, f"cannot be asked: {type(getattr(error, 'orig', None) or error).__name__}")
    if not seen.is_replica:
        return ReplicaStatus(None, "is no replica: it takes writes of its own")
    if seen.lag_seconds is None:
        return ReplicaStatus(None, "has replayed nothing yet")
    if seen.lag_seconds > most_lag_seconds:
        return ReplicaStatus(seen.lag_seconds, f"lags {seen.lag_seconds:.1f} s, more than {most_lag_seconds:g} s")
    return ReplicaStatus(seen.lag_seconds)


def replica_engine(settings: Settings, *, pool_size: int = 4) -> Engine | None:
    """The engine of the replica; None without TDS_REPLICA_URL."""
    if not settings.replica_url:
        return None
    return make_replica_engine(
        settings.replica_url, pool_size=pool_size, statement_seconds=settings.database_statement_seconds
    )


class ReadEngines:
    """Chooses the engine of each read that may lag. Thread-safe; `replica`: None where there is none."""

    def __init__(
        self,
        primary: Engine,
        replica: Engine | None,
        *,
        most_lag_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.primary, self.replica, self._most_lag, self._clock = primary, replica, most_lag_seconds, clock
        self._lock = threading.Lock()
        self._status: ReplicaStatus | None = None
        self._next_at = 0.0

    def status(self) -> ReplicaStatus | None:
        """The replica as seen within LOOK_SECONDS; None without one, or when it was never seen."""
        if self.replica is None:
            return None
        # One thread looks; the others go by what it saw before.
        if (self._status is None or self._clock() >= self._next_at) and self._lock.acquire(blocking=False):
            try:
                self._look(self.replica)
            finally:
                self._lock.release()
        return self._status

    @contextmanager
    def scope(self) -> Iterator[Session]:
        """A read-only transaction on the replica, or on the primary while the replica cannot serve."""
        engine = self._engine()
        with Session(engine, expire_on_commit=False) as session, session.begin():
            if engine is self.primary:  # a replica writes nothing anyway, and refuses to be set back
                session.connection(execution_options={"postgresql_readonly": True})
            try:
                yield session
            except DBAPIError:
                if engine is self.replica:
                    self._doubt()
                raise

    def dispose(self) -> None:
        """Close the connections to the replica."""
        if self.replica is not None:
            self.replica.dispose()

    def _engine(self) -> Engine:
        status = self.status()
        if self.replica is None or status is None or not status.is_used:
            return self.primary
        try:
            self.replica.connect().close()  # pinged, so that one that just died costs no request
        except SQLAlchemyError:
            self._doubt()
            return self.primary
        return self.replica

    def _look(self, replica: Engine) -> None:
        before = self._status
        with suppress(SQLAlchemyError):
            with Session(self.primary) as session:
                written = written_position(session)
            self._status = replica_status(written, replica, most_lag_seconds=self._most_lag)
        self._next_at = self._clock() + LOOK_SECONDS
        self._report(before)

    def _doubt(self) -> None:
        """Use the primary until the replica was looked at again."""
        before, self._status = self._status, ReplicaStatus(None, "failed a read")
        self._next_at = self._clock() + LOOK_SECONDS
        self._report(before)

    def _report(self, before: ReplicaStatus | None) -> None:
        now = self._status
        if now is not None and (before is None or before.is_used) and now.why:
            log.warning("replica_not_used", why=now.why)
        elif now is not None and before is not None and before.why and now.is_used:
            log.info("replica_used_again", lag_seconds=round(now.lag_seconds or 0.0, 3))
