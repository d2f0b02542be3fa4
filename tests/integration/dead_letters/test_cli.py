"""Operators work dead letters off by command and over HTTP, and every answer names the next step."""

import json
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from tds_core.errors import InvalidRecordError
from tests.support.command_line import CommandLine
from tests.support.dead_letters import dead, letter, many, step
from tests.support.foreign_letters import export
from tests.support.standin import StandIn
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import ScriptedSource, World, product

ID = "460000000000001"


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def patch(sender: Sender, path: str, body: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return sender.app.test_client().patch(path, data=json.dumps(body), content_type="application/json", headers=headers)


@pytest.fixture
def letter_id(world: World, source: ScriptedSource) -> int:
    source.records[ID] = InvalidRecordError("rate: -4 is less than 0")
    world.enqueue("product", ID)
    world.drain("product")
    return int(world.value("select id from tds_dead_letter_queue"))


def test_problems_are_shown_with_their_meaning_and_the_next_step(tds: CommandLine, letter_id: int) -> None:
    said = tds("dead-letter")
    assert "rate is -4; an earlier version of TDS took nothing below 0 there." in said.out
    assert "tds dead-letter retry --preview" in said.out
    [group] = tds("dead-letter", "list", "--group-by", "fingerprint", "--json").json
    assert (group["letter_count"], group["entities"]) == (1, ["product"])
    assert group["diagnosis"]["cause"] == "negative_amount"


def test_a_letter_is_listed_shown_assigned_and_closed(tds: CommandLine, letter_id: int) -> None:
    assert ID in tds("dead-letter", "list").out
    assert tds("dead-letter", "assign", str(letter_id), "--to", "bob").exit_code == 0
    assert tds("dead-letter", "list", "--json").json[0]["assigned_to"] == "bob"
    shown = tds("dead-letter", "show", str(letter_id)).out
    assert f"tds explain product {ID}" in shown
    assert "assigned" in shown
    assert tds("dead-letter", "resolve", str(letter_id), "--note", "a test").exit_code == 0
    assert tds("dead-letter", "list", "--json").json == []
    [closed] = tds("dead-letter", "list", "--state", "closed", "--json").json
    assert closed["resolution"] == "resolved"
    again = tds("dead-letter", "resolve", str(letter_id), "--note", "again")
    assert (again.exit_code, "is closed: resolved" in again.errors) == (1, True)


def test_a_record_is_edited_and_retried_by_command(
    tds: CommandLine, world: World, source: ScriptedSource, letter_id: int
) -> None:
    world.execute("update tds_dead_letter_queue set record = cast(:r as jsonb)", r=json.dumps(product(rate=-4)))
    refused = tds("dead-letter", "edit", str(letter_id), "--set", "rate=-5")
    assert (refused.exit_code, "rate: -5 is less than 0" in refused.errors) == (1, True)
    said = tds("dead-letter", "edit", str(letter_id), "--set", "rate=4.10", "--set", "name=Blue widget", "--retry")
    assert said.exit_code == 0
    world.drain("product")
    assert (str(world.row("product", ID)["price"]), world.row("product", ID)["name"]) == ("4.10", "Blue widget")


def test_a_whole_record_may_come_from_a_file(tds: CommandLine, world: World, letter_id: int, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(product(rate=4)))
    assert tds("dead-letter", "edit", str(letter_id), "--file", str(file)).exit_code == 0
    assert tds("dead-letter", "edit", str(letter_id)).exit_code == 2
    assert letter(world, letter_id)["edited_at"] is not None


def test_one_letter_is_retried_at_once(tds: CommandLine, world: World, source: ScriptedSource, letter_id: int) -> None:
    source.records[ID] = product(second=3)
    said = tds("dead-letter", "retry", str(letter_id))
    assert f"tds dead-letter show {letter_id}" in said.out
    again = tds("dead-letter", "retry", str(letter_id))
    assert (again.exit_code, "is being retried" in again.errors) == (1, True)
    world.drain("product")
    found = tds("dead-letter", "show", str(letter_id), "--json").json
    assert [(each["requested_by"], each["outcome"]) for each in found["revivals"]] == [(getuser(), "created")]


def test_many_letters_are_looked_at_before_they_are_retried(tds: CommandLine, world: World, letter_id: int) -> None:
    many(world, 10)
    looked = tds("dead-letter", "retry", "--like", str(letter_id), "--preview", "--json").json
    assert (looked["letter_count"], looked["most_calls"]) == (1, {"inventory": 1})
    assert looked["sample"][0]["outcome"] == "unknown"  # Zoho cannot be asked here, and no record was kept
    shown = tds("dead-letter", "retry", "--class", "transient", "--preview")
    assert "takes about 10 seconds at 60 a minute" in shown.out
    assert world.value("select count(*) from tds_dead_letter_batches") == 0
    begun = tds("dead-letter", "retry", "--class", "transient", "--yes", "--per-minute", "60000", "--json").json
    assert (begun["letter_count"], begun["requested_by"]) == (10, getuser())
    assert step(world) == 10
    assert tds("dead-letter", "batches", "--json").json[0]["outcomes"] == {"at_work": 10}
    assert "0 letters" in tds("dead-letter", "cancel", str(begun["id"])).out
    assert tds("dead-letter", "retry").exit_code == 1


def test_an_export_is_taken_in_by_command(tds: CommandLine, world: World, standin: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_bytes(export(standin))
    said = tds("dead-letter", "import", str(file))
    assert (said.exit_code, "tds dead-letter retry --class foreign" in said.out) == (0, True)
    file.write_bytes(export(standin) + b"{broken\n")
    said = tds("dead-letter", "import", str(file), "--json")
    assert (said.exit_code, said.json["imported_count"], len(said.json["errors"])) == (1, 0, 1)
    assert tds("dead-letter", "import", str(tmp_path / "none")).exit_code == 2


def test_letters_over_http(sender: Sender, world: World, letter_id: int) -> None:
    [shown] = sender.get("/api/tds/dead-letter").json["items"]
    assert (shown["id"], shown["state"], shown["diagnosis"]["cause"]) == (str(letter_id), "dead", "negative_amount")
    [group] = sender.get("/api/tds/dead-letter", group_by="fingerprint").json["items"]
    assert (group["letter_count"], "id" in group) == (1, False)
    path = f"/api/tds/dead-letter/{letter_id}"
    assert sender.post(f"{path}/assign", {"to": "bob"}).json["assigned_to"] == "bob"
    refused = patch(sender, f"{path}/payload", {"record": product(rate=-1)})
    assert (refused.status_code, refused.json["code"]) == (422, "validation")
    assert patch(sender, f"{path}/payload", {}).status_code == 422
    edited = patch(sender, f"{path}/payload", {"record": product(rate=4), "retry": True})
    assert (edited.status_code, edited.json["state"]) == (202, "being_retried")
    assert sender.post(f"{path}/retry", {}).status_code == 409
    world.drain("product")
    found = sender.get(path).json
    assert (found["resolution"], [each["action"] for each in found["actions"]]) == ("revived", ["assigned", "edited"])
    assert sender.post(f"{path}/resolve", {"note": "late"}).status_code == 409
    assert sender.get("/api/tds/dead-letter/999").status_code == 404


def test_many_letters_over_http(sender: Sender, world: World) -> None:
    many(world, 10)
    assert sender.post("/api/tds/dead-letter/retry", {}).status_code == 422
    looked = sender.post("/api/tds/dead-letter/retry/preview", {"entity": "product", "sample": 0}).json
    assert (looked["letter_count"], looked["seconds"], looked["sample"]) == (10, 10.0, [])
    changed = sender.post("/api/tds/dead-letter/retry", {"entity": "product", "letter_count": 9})
    assert (changed.status_code, changed.json["code"]) == (409, "dead_letters_changed")
    batch = sender.post("/api/tds/dead-letter/retry", {"entity": "product", "letter_count": 10}).json
    assert (batch["state"], batch["outcomes"]) == ("running", {"waiting": 10})
    assert sender.get(f"/api/tds/dead-letter/retry/{batch['id']}").json["per_minute"] == 60
    cancelled = sender.post(f"/api/tds/dead-letter/retry/{batch['id']}/cancel", {}).json
    assert (cancelled["state"], cancelled["outcomes"]) == ("cancelled", {"cancelled": 10})
    assert len(sender.get("/api/tds/dead-letter/retry").json["items"]) == 1
    assert sender.get("/api/tds/dead-letter/retry/999").status_code == 404


def test_an_export_is_taken_in_over_http(sender: Sender, world: World, standin: StandIn) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = export(standin) + b"{broken\n"
    answer = sender.app.test_client().post("/api/tds/dead-letter/import", data=body, headers=headers)
    assert (answer.status_code, answer.json["imported_count"]) == (200, 51)
    assert len(answer.json["errors"]) == 1
    assert sender.app.test_client().post("/api/tds/dead-letter/import", data=body).status_code == 401


def test_a_letter_shows_its_record_exactly(sender: Sender, world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID, error=InvalidRecordError("name: required, but empty"))
    world.execute("update tds_dead_letter_queue set record = '{\"rate\": 12345678901234567.8900}'")
    assert b"12345678901234567.8900" in sender.get(f"/api/tds/dead-letter/{letter_id}").data
