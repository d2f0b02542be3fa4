"""Reads go to a replica only while it can be trusted; what comes there writes nothing."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from tds_core.config.settings import load_settings
from tds_core.health import read_replica
from tds_core.health.health import HealthState
from tds_core.health.infrastructure import infrastructure_health, replica_health
from tds_core.health.read_replica import (
    LOOK_SECONDS,
    ReadEngines,
    ReplicaStatus,
    replica_engine,
    replica_status,
    written_position,
)
from tds_models.db import make_engine

AWAY = "postgresql://tds@127.0.0.1:9/tds"
_WHERE = text("select current_setting('application_name')")


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def other(database: str) -> Iterator[Engine]:
    """A server that stands for the replica; it is none, which only `replica_status` can tell."""
    engine = make_engine(database, application="tds-reads")
    yield engine
    engine.dispose()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[ReplicaStatus]:
    """What is seen of the replica from now on: the last one."""
    found = [ReplicaStatus(0.1)]
    monkeypatch.setattr(read_replica, "replica_status", lambda *_given, **_named: found[-1])
    return found


def place(reads: ReadEngines) -> str:
    with reads.scope() as session:
        return str(session.execute(_WHERE).scalar_one())


def test_without_a_replica_reads_go_to_the_primary(engine: Engine) -> None:
    reads = ReadEngines(engine, replica_engine(load_settings({})), most_lag_seconds=5)
    assert (place(reads), reads.status()) == ("tds", None)


def test_reads_follow_what_is_seen_of_the_replica_and_each_change_is_told_once(
    engine: Engine, other: Engine, seen: list[ReplicaStatus]
) -> None:
    clock = Clock()
    reads = ReadEngines(engine, other, most_lag_seconds=5, clock=clock)
    with capture_logs() as logs:
        for status, expected in (
            (ReplicaStatus(0.1), "tds-reads"),
            (ReplicaStatus(9.0, "lags"), "tds"),
            (ReplicaStatus(None, "does not answer"), "tds"),
            (ReplicaStatus(0.2), "tds-reads"),
        ):
            seen.append(status)
            clock.now += LOOK_SECONDS
            assert [place(reads) for _ in range(5)] == [expected] * 5
    assert [each["event"] for each in logs] == ["replica_not_used", "replica_used_again"]


def test_a_replica_that_died_a_moment_ago_costs_no_read(engine: Engine, seen: list[ReplicaStatus]) -> None:
    away = make_engine(AWAY, application="tds-reads")
    reads = ReadEngines(engine, away, most_lag_seconds=5, clock=Clock())
    assert place(reads) == "tds"
    status = reads.status()
    assert status is not None
    assert (status.is_used, status.why) == (False, "failed a read")


def test_a_read_that_fails_on_the_replica_sends_the_next_one_to_the_primary(
    engine: Engine, other: Engine, seen: list[ReplicaStatus]
) -> None:
    reads = ReadEngines(engine, other, most_lag_seconds=5, clock=Clock())
    with pytest.raises(DBAPIError), reads.scope() as session:
        session.execute(text("select 1 / 0"))
    assert place(reads) == "tds"


def test_what_comes_here_writes_nothing_on_the_primary_either(engine: Engine) -> None:
    reads = ReadEngines(engine, None, most_lag_seconds=5)
    with pytest.raises(DBAPIError, match="read-only"), reads.scope() as session:
        session.execute(text("delete from tds_pulses"))
    with engine.begin() as connection:  # the connection is given back as it was
        connection.execute(text("delete from tds_pulses"))


def test_a_server_that_takes_writes_is_no_replica_and_one_that_is_away_says_so(engine: Engine, other: Engine) -> None:
    with Session(engine) as session:
        written = written_position(session)
    found = replica_status(written, other, most_lag_seconds=5)
    assert (found.is_used, found.why) == (False, "is no replica: it takes writes of its own")
    found = replica_status(written, make_engine(AWAY), most_lag_seconds=5)
    assert (found.is_used, found.lag_seconds, found.why) == (False, None, "cannot be asked: OperationalError")


def test_health_warns_of_a_replica_that_is_not_read(database: str, engine: Engine) -> None:
    settings = load_settings({"TDS_DATABASE_URL": database, "TDS_REPLICA_URL": AWAY})
    with Session(engine) as session:
        written = infrastructure_health(session, settings)["written"]
    found = replica_health(settings, written)
    assert (found.state, "the primary is read instead" in found.says) == (HealthState.WARNING, True)
    assert "pg_stat_replication" in found.mend
