"""The three disasters of docs/disasters.md, rehearsed on a small organisation; how long each took goes into a file."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg2
import pytest

from tds_core.backups import catalog
from tds_core.database_urls import without_driver
from tds_models.db import make_engine
from tests.support.backed_up_server import BackedUpServer, backed_up_server, read_everything
from tests.support.command_line import CommandLine
from tests.support.dead_letters import step
from tests.support.standin import SMALL, StandIn, serving
from tests.support.world import World

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

TOTAL_FAILURE_SECONDS, CORRUPTION_SECONDS, BACKLOG_SECONDS = 30 * 60, 2 * 3600, 4 * 3600
DEAD_LETTER_COUNT = 2000
_BLOCK_BYTES = 8192


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, standin: StandIn) -> Iterator[BackedUpServer]:
    """A mirror of a small organisation."""
    with mirrored(monkeypatch, standin) as server:
        yield server


@contextmanager
def mirrored(monkeypatch: pytest.MonkeyPatch, standin: StandIn) -> Iterator[BackedUpServer]:
    """A server with the mirror of an organisation, equal to it."""
    with backed_up_server(monkeypatch) as server:
        for name, value in {
            **standin.settings,
            "TDS_COMPARISON_SETTLE_SECONDS": "2",
            "TDS_GUARD_PERCENT": "100",
        }.items():
            monkeypatch.setenv(name, value)
        assert read_everything()["difference_count"] == 0
        yield server


@contextmanager
def stopwatch(name: str, limit_seconds: float) -> Iterator[None]:
    """Hold what the block took to its limit; REHEARSAL_LOG names the file it is written to."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    with Path(os.environ.get("REHEARSAL_LOG", os.devnull)).open("a") as file:
        file.write(f"{name}: {seconds:.1f} s\n")
    assert seconds < limit_seconds, f"{name} took {seconds:.0f} s"


def test_total_failure_is_over_within_half_an_hour(here: BackedUpServer, tds: CommandLine, standin: StandIn) -> None:
    here.archive()
    assert tds("audit", "seal").exit_code == 0
    assert tds("backup", "--with-secrets").exit_code == 0
    standin.edit("items", standin.ids("items")[0], rate=77)
    assert read_everything()["difference_count"] == 0
    last = here.write("the last thing that was committed")
    here.await_archive()
    standin.edit("items", standin.ids("items")[1], rate=88)  # unseen: TDS is gone from here on
    here.stop()
    for place in ("postgres", "redis", "logs"):
        shutil.rmtree(here.home / place, ignore_errors=True)
    (here.home / "secrets.json").unlink()
    with stopwatch("total failure", TOTAL_FAILURE_SECONDS):
        restored = tds("restore", "--json")
        assert restored.exit_code == 0, restored.errors
        here.start()
        assert read_everything()["difference_count"] == 0
        assert tds("audit", "verify").exit_code == 0
    assert here.words() == ["the last thing that was committed"]
    assert restored.json["reached_at"] >= last.isoformat()[:19]


def test_a_corrupt_database_is_replayed_from_its_last_cursors(
    here: BackedUpServer, tds: CommandLine, standin: StandIn
) -> None:
    here.archive()
    assert tds("backup").exit_code == 0
    standin.edit("items", standin.ids("items")[0], rate=77)
    assert read_everything()["difference_count"] == 0
    here.await_archive()
    path = here.value("select pg_relation_filepath('erp.product')")
    here.execute("checkpoint")
    here.stop()
    damaged = next(here.home.glob(f"postgres/**/{path}"), None)
    place = here.home / "postgres" / "place"
    damaged = damaged or Path(place.read_text().strip()) / "data" / path
    with damaged.open("r+b") as file:
        file.write(b"\xff" * _BLOCK_BYTES)
    here.start()
    with pytest.raises(psycopg2.Error):
        psycopg2.connect(without_driver(here.settings.database_url)).cursor().execute("select * from erp.product")
    with stopwatch("corruption", CORRUPTION_SECONDS):
        here.stop()
        assert tds("restore", "--overwrite").exit_code == 0
        here.start()
        assert read_everything()["difference_count"] == 0
    assert [entry.kind for entry in catalog.entries(here.directory)] == ["full"]


def test_a_large_backlog_of_dead_letters_is_worked_off(monkeypatch: pytest.MonkeyPatch, tds: CommandLine) -> None:
    large = msgspec.structs.replace(SMALL, products=DEAD_LETTER_COUNT)
    with serving(large) as standin, mirrored(monkeypatch, standin) as here:
        here.execute(
            "insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,"
            " priority, correlation_id) select 'zoho', 'product', source_id, 'transient', 'HTTP 503',"
            " 'transient:product:HTTP _', 8, 5, 'rehearsal' from erp.product where deleted_at is null"
        )
        assert open_letter_count(here) >= DEAD_LETTER_COUNT
        engine = make_engine(here.settings.database_url)
        with stopwatch(f"{DEAD_LETTER_COUNT} dead letters", BACKLOG_SECONDS):
            asked = tds("dead-letter", "retry", "--all", "--per-minute", "60000", "--yes", "--json")
            assert asked.exit_code == 0, asked.errors
            while step(World(engine), seconds=5):
                pass
            assert read_everything()["difference_count"] == 0
        engine.dispose()
        assert open_letter_count(here) == 0


def open_letter_count(here: BackedUpServer) -> int:
    count: int = here.value("select count(*) from tds_dead_letter_queue where resolved_at is null")
    return count
