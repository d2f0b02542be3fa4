"""`tds sync`: an operator's wish becomes rows that any worker finds, and the exit code tells how it went."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from typing import Any

import pytest
from structlog.testing import capture_logs

from tds_core.errors import InvalidRecordError
from tds_core.sync.bulk_insert import PageReader
from tds_core.sync.change_limits import ChangeLimits
from tds_models.entities import ENTITIES
from tds_tasks import runs as run_tasks
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@contextmanager
def worker(world: World) -> Iterator[None]:
    """Somebody who does what is asked for, as a dispatcher and a worker would."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            for row in world.rows("select id from tds_sync_runs where state in ('queued', 'running')"):
                world.advance(row["id"])
            for entity in ENTITIES:
                world.drain(entity)

    thread = threading.Thread(target=work)
    with capture_logs():  # it shares our standard output
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def test_a_run_is_asked_for_and_left_to_the_workers(tds: CommandLine, synced: World) -> None:
    said = tds("sync", "product", "--json")
    assert said.exit_code == 0
    assert [(run["entity"], run["mode"], run["state"]) for run in said.json] == [("product", "incremental", "queued")]
    assert synced.value("select requested_by from tds_sync_runs") == getuser()


def test_all_means_every_entity(tds: CommandLine, synced: World) -> None:
    said = tds("sync", "all", "--mode", "full", "--json")
    assert sorted(run["entity"] for run in said.json) == sorted(ENTITIES)


def test_waiting_ends_when_the_run_has_ended(tds: CommandLine, synced: World) -> None:
    with worker(synced):
        said = tds("sync", "vendor", "--mode", "full", "--wait", "--json")
    assert said.exit_code == 0
    assert (said.json[0]["state"], said.json[0]["outcomes"]["created"]) == ("completed", 5)


def test_a_run_that_fails_while_watched_is_exit_code_1(tds: CommandLine, synced: World, standin: StandIn) -> None:
    synced.execute("insert into tds_pulses (name) values ('dispatcher')")
    threading.Timer(
        0.5,
        synced.execute,
        ("update tds_sync_runs set state = 'failed', end_reason = 'permanent: no', ended_at = now()",),
    ).start()
    said = tds("sync", "vendor", "--wait")
    assert said.exit_code == 1
    assert "permanent: no" in said.out
    assert "tds sync vendor --mode incremental --wait" in said.errors


def test_given_records_are_read_from_zoho(tds: CommandLine, synced: World, standin: StandIn) -> None:
    known = standin.ids("items")[0]
    with worker(synced):
        said = tds("sync", "product", "--mode", "targeted", "--id", known, "--id", "999", "--wait", "--json")
    assert said.exit_code == 0
    assert {row["source_id"]: row["outcome"] for row in said.json} == {known: "created", "999": "deleted"}


def test_a_given_record_that_is_given_up_is_exit_code_1(tds: CommandLine, synced: World, standin: StandIn) -> None:
    known = standin.ids("items")[0]
    synced.execute("alter table erp.product add constraint no_evil check (name <> 'Evil')")
    standin.edit("items", known, name="Evil")
    with worker(synced):
        said = tds("sync", "product", "--mode", "targeted", "--id", known, "--wait", "--json")
    assert said.exit_code == 1
    assert said.json[0]["outcome"] == "dead"


def test_refused_records_are_exit_code_1_and_lead_to_their_dead_letters(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, set(standin.ids("items")[:3]))
    with worker(synced):
        said = tds("sync", "product", "--mode", "full", "--wait")
    assert said.exit_code == 1
    assert "product: 3 records were refused" in said.errors
    assert "tds dead-letter list --entity product" in said.errors


def test_a_held_run_is_exit_code_1_and_says_how_to_approve_it(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.run("product", "full")
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=1, records=1))
    for each in standin.ids("items")[:8]:
        standin.edit("items", each, rate=77.5)
    with worker(synced):
        said = tds("sync", "product", "--mode", "full", "--wait", "--json")
    [run] = said.json
    assert (said.exit_code, run["state"]) == (1, "held")
    assert f"tds runs approve {run['id']}" in said.errors
    assert run["holds"][0]["reason"] in said.errors


def refuse(monkeypatch: pytest.MonkeyPatch, wrong: set[str]) -> None:
    """Let these records break a rule."""
    read = PageReader.candidate

    def refused(self: PageReader, source_id: str, *given: Any) -> Any:
        if source_id in wrong:
            raise InvalidRecordError("rate: not a number")
        return read(self, source_id, *given)

    monkeypatch.setattr(PageReader, "candidate", refused)
    monkeypatch.setattr("tds_core.sync.page_apply.prepare_creation", lambda *_: None)


def test_watching_says_when_nobody_is_there_to_work(tds: CommandLine, synced: World) -> None:
    with worker(synced):
        said = tds("sync", "vendor", "--wait")
    assert "tds up" in said.errors


def test_without_a_connection_waiting_ends_at_once_and_says_how_to_connect(tds: CommandLine, synced: World) -> None:
    tds.monkeypatch.setenv("ZOHO_REFRESH_TOKEN", "")
    said = tds("sync", "all", "--wait")
    assert said.exit_code == 1
    assert said.errors.count("not connected to Zoho") == said.errors.count("tds zoho connect") == 1
    assert synced.value("select count(*) from tds_sync_runs where state = 'queued'") == len(ENTITIES), "they stay asked"


def test_what_holds_up_all_passes_is_reported_once(tds: CommandLine, synced: World) -> None:
    synced.execute(
        "insert into tds_source_tokens (source, refused_at, refusal) values ('zoho', now(), 'The token is revoked.')"
        " on conflict (source) do update set refused_at = now(), refusal = excluded.refusal"
    )
    said = tds("sync", "all", "--wait")
    assert said.exit_code == 1
    assert said.errors.count("The token is revoked.") == said.errors.count("tds zoho status") == 1
    assert f"{len(ENTITIES)} passes go on by themselves" in said.errors


@pytest.mark.parametrize(
    "arguments",
    [("product", "--mode", "targeted"), ("product", "--id", "1"), ("all", "--mode", "targeted", "--id", "1")],
)
def test_ids_belong_to_one_entity_and_mode_targeted(tds: CommandLine, arguments: tuple[str, ...]) -> None:
    said = tds("sync", *arguments)
    assert said.exit_code == 2
    assert "tds sync product --mode targeted --id" in said.errors


def test_an_entity_nobody_mirrors_is_reported_with_those_there_are(tds: CommandLine) -> None:
    said = tds("sync", "unicorn")
    assert said.exit_code == 1
    assert ", ".join(ENTITIES) in said.errors


def test_watching_ends_before_long(tds: CommandLine, synced: World) -> None:
    began = time.monotonic()
    with worker(synced):
        tds("sync", "all", "--mode", "full", "--wait", "--json")
    assert time.monotonic() - began < 30
    assert synced.value("select count(*) from erp.product where deleted_at is null") == 45
