"""Dead letters of another system are taken in whole, once, and all end applied when they are retried."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from tds_core.dead_letters import queries
from tds_core.dead_letters.importer import ImportResult, import_lines
from tds_models.db import session_scope
from tests.support import world as worlds
from tests.support.command_line import CommandLine
from tests.support.dead_letters import broken_promises, request, step
from tests.support.foreign_letters import INVOICES, PRODUCTS, export
from tests.support.standin import SMALL, StandIn, serving
from tests.support.world import World


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """An organisation with enough products."""
    with serving(msgspec.structs.replace(SMALL, products=60)) as standin:
        yield standin


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path, standin: StandIn
) -> Iterator[World]:
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), standin.settings) as world:
        yield world


def imported(world: World, lines: bytes) -> ImportResult:
    with session_scope(world.engine) as session:
        return import_lines(session, lines.split(b"\n"), by="ann")


def test_all_58_lost_webhooks_end_applied(world: World, standin: StandIn) -> None:
    taken = imported(world, export(standin))
    assert (taken.imported_count, taken.known_count, taken.errors) == (58, 0, [])
    with session_scope(world.engine) as session:
        groups = queries.groups(session)
    assert [(each["entities"], each["letter_count"]) for each in groups] == [(["product"], 52), (["invoice"], 6)]
    assert {each["diagnosis"]["cause"] for each in groups} == {"foreign_event_loop"}
    batch = request(world)
    step(world)
    for entity in ("product", "invoice"):
        world.drain(entity)
    step(world)
    assert world.verdicts() == ["applied"] * 58
    with session_scope(world.engine) as session:
        assert queries.batch(session, batch.id)["outcomes"] == {"created": 58}
    counts = [world.value(f"select count(*) from erp.{name}") for name in ("product", "invoice")]
    assert counts == [PRODUCTS, INVOICES]
    assert world.value("select count(*) from tds_dead_letter_queue where resolution = 'revived'") == 58
    assert broken_promises(world) == []


@contextmanager
def dispatcher_and_worker(world: World) -> Iterator[None]:
    """Those who do what is asked for."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            step(world, seconds=0)
            for entity in ("product", "invoice"):
                world.drain(entity)

    thread = threading.Thread(target=work)
    with capture_logs():  # it shares our standard output
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def test_two_commands_bring_all_58_over(
    world: World, standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys)
    file = tmp_path / "export.jsonl"
    file.write_bytes(export(standin))
    assert tds("dead-letter", "import", str(file), "--json").json["imported_count"] == 58
    looked = tds("dead-letter", "retry", "--class", "foreign", "--preview", "--json").json
    assert looked["least_calls"] == {"inventory": 1, "books": 6}
    assert {(each["seen"], each["outcome"]) for each in looked["sample"]} == {("live", "created")}
    with dispatcher_and_worker(world):
        said = tds("dead-letter", "retry", "--class", "foreign", "--yes", "--wait", "--per-minute", "6000", "--json")
    assert (said.exit_code, said.json["outcomes"]) == (0, {"created": 58})
    assert world.verdicts() == ["applied"] * 58


def test_a_second_import_adds_nothing(world: World, standin: StandIn) -> None:
    lines = export(standin)
    imported(world, lines)
    again = imported(world, lines + lines)
    assert (again.imported_count, again.known_count) == (0, 116)
    assert world.value("select count(*) from tds_dead_letter_queue") == 58
    assert world.value("select count(*) from tds_inbox_events") == 58
    assert world.value("select count(*) from tds_dead_letter_actions") == 58


def test_lines_without_an_id_are_known_by_their_content(world: World, standin: StandIn) -> None:
    line = msgspec.json.decode(export(standin).split(b"\n")[0])
    del line["id"]
    for count in (1, 0):
        assert imported(world, msgspec.json.encode(line)).imported_count == count


def test_broken_lines_are_named_and_lose_nothing(world: World, standin: StandIn) -> None:
    first, second, third, *_ = export(standin).split(b"\n")
    unicorn = first.replace(b'"entity":"product"', b'"entity":"unicorn"')
    nul = second.replace(b'"name":"', b'"name":"\\u0000', 1)
    taken = imported(world, b"\n".join([first, b"{", b"", unicorn, second, b"\xff", nul, b'{"id":"x"}', b"7", third]))
    assert taken.imported_count == 3
    assert [each["line"] for each in taken.errors] == [2, 4, 6, 7, 8, 9]
    assert "unicorn" in taken.errors[1]["error"]
    assert world.value("select count(*) from tds_dead_letter_queue") == 3


def test_a_record_the_source_no_longer_has_ends_too(world: World, standin: StandIn) -> None:
    imported(world, export(standin).split(b"\n")[0])
    standin.delete("items", world.value("select source_id from tds_dead_letter_queue"))
    request(world)
    step(world)
    world.drain("product")
    assert world.verdicts() == ["deleted"]


def test_what_foreign_letters_were_is_kept(world: World, standin: StandIn) -> None:
    imported(world, export(standin).split(b"\n")[0])
    row = world.one("select * from tds_dead_letter_queue")
    assert (row["foreign_id"], row["error_class"], row["attempts"]) == ("3f2a-0001", "foreign", 3)
    assert f"{row['dead_at']:%Y-%m-%d %H:%M}" == "2026-11-02 08:01"
    assert row["last_dead_at"] > row["dead_at"]
