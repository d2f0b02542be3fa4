"""Reads that may lag are served by a real streaming replica, and by the primary whenever it cannot serve."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from tds_api.cli.doctor_checks.postgres import postgres
from tds_core.config.settings import load_settings
from tds_core.health.health import ComponentStatus, HealthState
from tds_core.health.infrastructure import replica_health
from tds_core.health.read_replica import written_position
from tests.acceptance.workers import wait_for
from tests.support.planted_rows import records
from tests.support.replica import StreamingReplica
from tests.support.webhook_sender import Sender, sender_for

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

LAG_SECONDS = 2.0


@pytest.fixture
def replica(postgres_url: str, database: str) -> Iterator[StreamingReplica]:
    with tempfile.TemporaryDirectory(prefix="tds-replica-") as home:
        Path(home).chmod(0o755)
        with StreamingReplica(postgres_url, Path(home)) as replica:
            yield replica


@pytest.fixture
def told(replica: StreamingReplica, database: str) -> dict[str, str]:
    name = database.rpartition("/")[2]
    return {"TDS_REPLICA_URL": replica.url(name), "TDS_REPLICA_LAG_SECONDS": str(LAG_SECONDS)}


@pytest.fixture
def sender(database: str, engine: Engine, told: dict[str, str]) -> Iterator[Sender]:
    with sender_for(database, engine, **told) as sender:
        yield sender


@pytest.fixture
def reads(sender: Sender) -> Iterator[Callable[[], tuple[int, int]]]:
    """A list and a search are asked for. Returns the status of the worse, and how many statements the replica got."""
    statements: list[str] = []
    replica = sender.app.extensions["tds"].reads.replica
    event.listen(replica, "before_cursor_execute", lambda _c, _cur, statement, *_: statements.append(statement))

    def ask() -> tuple[int, int]:
        statements.clear()
        paths = ("/api/tds/entities/product", "/api/tds/search?q=Widget", "/api/tds/statistics/overview")
        answers = [sender.get(path) for path in paths]
        return max(each.status_code for each in answers), sum("erp.product" in each for each in statements)

    yield ask


def listed(sender: Sender) -> int:
    answer = sender.get("/api/tds/entities/product")
    assert answer.status_code == 200, answer.json
    return len(answer.json["items"])


def gauges(sender: Sender) -> dict[str, float]:
    lines = sender.app.test_client().get("/metrics").text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("tds_replica_")}


def test_lists_are_read_from_the_replica_and_from_the_primary_while_it_lags_dies_or_is_promoted(
    sender: Sender, replica: StreamingReplica, reads: Callable[[], tuple[int, int]]
) -> None:
    context = sender.app.extensions["tds"]

    def is_used() -> bool:
        status = context.reads.status()
        return bool(status and status.is_used)

    assert wait_for(is_used, 20)
    status, count = reads()
    assert (status, count > 0) == (200, True)
    assert gauges(sender)["tds_replica_used"] == 1
    assert gauges(sender)["tds_replica_lag_seconds"] < LAG_SECONDS

    records(sender.engine, "customer", {"name": "First"})  # a commit to replay, by whose age the lag is told
    time.sleep(2)
    replica.hold_back()
    store(sender)
    assert wait_for(lambda: not is_used(), 20), "a replica that replays nothing is still read"
    assert listed(sender) == 1
    assert reads() == (200, 0)
    assert gauges(sender)["tds_replica_used"] == 0
    assert gauges(sender)["tds_replica_lag_seconds"] > LAG_SECONDS

    replica.let_go()
    assert wait_for(is_used, 20)
    assert listed(sender) == 1

    replica.kill()
    assert reads() == (200, 0), "its death costs a request"
    assert listed(sender) == 1
    replica.start()
    assert wait_for(is_used, 20)
    status, count = reads()
    assert (status, count > 0) == (200, True)

    replica.promote()
    assert wait_for(lambda: not is_used(), 20), "a server that takes its own writes is still read"
    assert "no replica" in context.reads.status().why
    assert reads() == (200, 0)


def store(sender: Sender) -> None:
    """A row, and time for the replica to be behind it."""
    records(sender.engine, "product", {"name": "Widget"})
    time.sleep(LAG_SECONDS)


def test_health_and_doctor_tell_the_lag(
    database: str, engine: Engine, told: dict[str, str], replica: StreamingReplica
) -> None:
    settings = load_settings({"TDS_DATABASE_URL": database, **told})

    def health() -> ComponentStatus:
        with Session(engine) as session:
            return replica_health(settings, written_position(session))

    assert wait_for(lambda: health().state is HealthState.OK, 20)
    assert health().says.endswith("s behind")
    [found] = [each for each in postgres(settings) if each.check == "Read replica"]
    assert (found.is_ok, "s behind" in found.says) == (True, True)
    replica.kill()
    assert (health().state, "the primary is read instead" in health().says) == (HealthState.WARNING, True)
    [found] = [each for each in postgres(settings) if each.check == "Read replica"]
    assert (found.is_ok, bool(found.mend)) == (False, True)
