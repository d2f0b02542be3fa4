"""What may not be read is named, with the scope to add, wherever somebody looks: and nobody waits for it in vain."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_core.sources.zoho.oauth import SCOPES, covers, lacking, scope_of
from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import sender_for
from tests.support.world import World

BILLS = "ZohoBooks.bills.READ"


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def refused(synced: World, standin: StandIn) -> World:
    """A world in which bills may not be read."""
    standin.fail("unauthorized", "/books/v3/bills", count=0)
    synced.run("bill", "full")
    return synced


def test_status_names_module_scope_since_when_and_the_next_try(tds: CommandLine, refused: World) -> None:
    said = tds("zoho", "status")
    assert said.exit_code == 1
    assert f"bills of Books (bill): add {BILLS}; refused since 20" in said.out
    assert "tried again at 20" in said.out
    assert "tds zoho connect" in said.out
    assert "all is well" not in said.out
    said = tds("zoho", "status", "--json", "--offline")
    [row] = said.json["missing_permissions"]
    assert (row["path"], row["scope"], row["entities"], row["source_id"]) == ("bills", BILLS, ["bill"], None)


def test_health_names_it_in_the_component_and_for_machines(
    tds: CommandLine, refused: World, database: str, engine: Engine, standin: StandIn
) -> None:
    said = tds("health", "--json")
    [zoho] = [each for each in json.loads(said.out)["components"] if each["name"] == "zoho"]
    assert zoho["state"] == "warning"
    assert BILLS in zoho["says"]
    with sender_for(database, engine, **standin.settings) as sender:
        answer = sender.app.test_client().get("/api/tds/health").json["zoho"]
    assert (answer["access"], answer["modules"][0]["scope"]) == ("connected", BILLS)


@pytest.mark.parametrize("arguments", [("bill",), ("bill", "--mode", "full"), ("bill", "--mode", "dry-run")])
def test_a_sync_that_is_watched_ends_with_a_line_and_an_error(
    tds: CommandLine, refused: World, arguments: tuple[str, ...]
) -> None:
    said = tds("sync", *arguments, "--wait")
    assert said.exit_code == 1
    assert BILLS in said.errors
    assert "tds zoho status" in said.errors


def test_a_targeted_sync_of_what_may_not_be_read_ends_too(tds: CommandLine, refused: World, standin: StandIn) -> None:
    said = tds("sync", "bill", "--mode", "targeted", "--id", standin.ids("bills")[0], "--wait")
    assert (said.exit_code, BILLS in said.errors) == (1, True)


def test_a_targeted_sync_of_one_record_that_may_not_be_read_ends_too(
    tds: CommandLine, synced: World, standin: StandIn
) -> None:
    record = standin.ids("invoices")[0]
    standin.fail("not_associated", f"/books/v3/invoices/{record}", count=0)
    synced.enqueue("invoice", record)
    synced.drain("invoice")
    said = tds("sync", "invoice", "--mode", "targeted", "--id", record, "--wait")
    assert (said.exit_code, record in said.errors) == (1, True)
    assert f"record {record} of invoices" in tds("zoho", "status").out


def test_without_any_access_nothing_is_waited_for(tds: CommandLine, synced: World) -> None:
    synced.execute(
        "insert into tds_source_tokens (source, refused_at, refusal)"
        " values ('zoho', now(), 'invalid_client: see there')"
    )
    said = tds("sync", "all", "--wait")
    assert (said.exit_code, "invalid_client: see there" in said.errors) == (1, True)


def test_once_the_right_is_given_a_command_has_it_tried_at_once(
    tds: CommandLine, refused: World, standin: StandIn
) -> None:
    standin.sandbox.faults.clear()
    assert "books/bills" in tds("zoho", "retry").out
    [run] = refused.rows("select id from tds_sync_runs where entity = 'bill'")
    refused.advance(run["id"])
    assert refused.run_row(run["id"])["state"] == "completed"
    assert tds("zoho", "status").exit_code == 0
    assert "Nothing is refused" in tds("zoho", "retry").out


def code(standin: StandIn, scopes: str) -> str:
    return standin.sandbox.accounts.authorize(scopes, "", True)


def test_connecting_says_what_was_not_granted_and_what_will_not_be_synced(
    tds: CommandLine, synced: World, standin: StandIn
) -> None:
    said = tds("zoho", "connect", "--code", code(standin, ",".join(each for each in SCOPES if each != BILLS)))
    assert said.exit_code == 0, said.errors
    assert f"Not granted: {BILLS}. Until it is, this will not be synced: bill" in said.out
    assert f"not granted: {BILLS}, which bill needs" in tds("zoho", "status", "--offline").out
    said = tds("zoho", "connect", "--code", code(standin, ",".join(SCOPES)))
    assert "Not granted" not in said.out


def test_connecting_anew_wakes_what_waited(tds: CommandLine, refused: World, standin: StandIn) -> None:
    refused.enqueue("bill", standin.ids("bills")[0])
    refused.drain("bill")
    standin.sandbox.faults.clear()
    assert tds("zoho", "connect", "--code", code(standin, ",".join(SCOPES))).exit_code == 0
    assert refused.rows("select 1 from tds_missing_permissions") == []
    assert refused.rows("select 1 from tds_findings where resolved_at is null") == []
    refused.drain("bill")
    assert refused.queue_depth("bill") == 0


def test_connecting_says_what_comes_next_by_whether_tds_runs(tds: CommandLine, synced: World, standin: StandIn) -> None:
    assert "Next: tds up, and while it runs" in tds("zoho", "connect", "--code", code(standin, ",".join(SCOPES))).out
    synced.execute("insert into tds_pulses (name, beat_at) values ('dispatcher', now())")
    said = tds("zoho", "connect", "--code", code(standin, ",".join(SCOPES)))
    assert "Next: tds sync all --mode full --wait" in said.out


def test_a_code_that_is_wrong_says_how_to_make_another(tds: CommandLine) -> None:
    said = tds("zoho", "connect", "--code", "1000.wrong")
    assert said.exit_code == 1
    assert "The code is wrong, used up or too old" in said.errors
    assert "refresh token" not in said.errors


def test_status_renews_a_token_that_ended_early_before_it_complains(
    tds: CommandLine, synced: World, standin: StandIn
) -> None:
    assert tds("zoho", "status").exit_code == 0
    standin.sandbox.accounts.revoke_access_tokens()
    assert tds("zoho", "status").exit_code == 0
    standin.fail("unauthorized", "/books/v3/organizations", count=0)
    said = tds("zoho", "status")
    assert said.exit_code == 1
    assert f"{standin.url}/books/v3/organizations" in said.out
    assert "tds zoho connect" in said.out


def test_an_address_that_does_not_answer_is_named(
    tds: CommandLine, synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_ACCOUNTS_URL", "http://127.0.0.1:1")
    said = tds("zoho", "connect", "--code", "x")
    assert "http://127.0.0.1:1/oauth/v2/token: no answer (ConnectionError: connection refused)" in said.errors


@pytest.mark.parametrize("name", list(ENTITIES))
def test_each_entity_has_a_scope_and_is_missed_without_it(name: str) -> None:
    scope = scope_of(ENTITIES[name].stream.api, ENTITIES[name].stream.path)
    assert scope in SCOPES
    others: Any = [each for each in SCOPES if each != scope]
    assert name in lacking(others)[scope]
    assert lacking([*others, scope.replace(".READ", ".ALL").lower()]) == {}
    assert lacking(None) == lacking(["ZohoBooks.fullaccess.all", "ZohoInventory.FullAccess.all"]) == {}
    assert not covers(["ZohoBooks.fullaccess", scope.replace("READ", "CREATE")], scope)
