"""A person marks rows deleted where Zoho denies the record or they vouch for it; what Zoho shows again comes back."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from tds_core.auth import api_keys
from tds_core.sync import manual_deletion
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.integration.sync.test_foreign_organization_rows import OTHER, bring_in
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

REASON = {"reason": "seen by Ann in Zoho"}
FOREIGN = "/api/tds/foreign-rows"


@pytest.fixture
def sender(synced: World, standin: StandIn, database: str, engine: Engine) -> Iterator[Sender]:
    synced.run("product", "full")
    with sender_for(database, engine, TDS_SECRET_KEY=os.environ["TDS_SECRET_KEY"], **standin.settings) as sender:
        yield sender


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=None)


def delete(sender: Sender, source_id: str, **body: Any) -> TestResponse:
    return sender.post(f"/api/tds/entities/product/{source_id}/delete", {**REASON, **body})


def last_version(world: World, source_id: str) -> tuple[str, str]:
    row = world.one(
        "select operation, origin from tds_audit_trail where source_id = :id and entity = 'product'"
        " order by version desc limit 1", id=source_id,
    )  # fmt: skip
    return row["operation"], row["origin"]


def test_what_zoho_denies_is_marked_deleted_with_a_version(synced: World, sender: Sender, standin: StandIn) -> None:
    source_id = standin.ids("items")[0]
    standin.delete("items", source_id)
    marked = delete(sender, source_id)
    assert (marked.status_code, marked.json["outcome"]) == (200, "deleted")
    assert synced.row("product", source_id)["deleted_at"] is not None
    assert last_version(synced, source_id) == ("deleted", "operator")
    assert delete(sender, source_id).json["outcome"] == "unchanged"
    [action] = synced.rows(
        "select detail from tds_operator_actions where operation = 'deletions.mark' and outcome = 'done' limit 1"
    )
    assert action["detail"]["reason"] == REASON["reason"]


def test_what_zoho_has_stays(synced: World, sender: Sender, standin: StandIn) -> None:
    source_id = standin.ids("items")[0]
    refused = delete(sender, source_id)
    assert (refused.status_code, refused.json["code"]) == (409, "record_exists")
    assert synced.row("product", source_id)["deleted_at"] is None


def test_while_zoho_does_not_answer_nothing_is_deleted(synced: World, sender: Sender, standin: StandIn) -> None:
    source_id = standin.ids("items")[0]
    standin.delete("items", source_id)
    standin.fail("error_500", count=50)
    assert delete(sender, source_id).status_code in (502, 503)
    assert synced.row("product", source_id)["deleted_at"] is None


def test_what_a_person_vouches_for_is_deleted_until_zoho_shows_it(
    synced: World, sender: Sender, standin: StandIn
) -> None:
    source_id = standin.ids("items")[0]
    marked = delete(sender, source_id, confirmed_gone=True)
    assert (marked.status_code, marked.json["outcome"]) == (200, "deleted")
    assert synced.row("product", source_id)["deleted_at"] is not None
    synced.run("product", "full")
    assert synced.row("product", source_id)["deleted_at"] is None, "Zoho shows it, so it is there"
    assert last_version(synced, source_id)[0] == "restored"


@pytest.mark.parametrize("body", [{"reason": ""}, {"reason": "x"}, {"reason": "\x00\x00\x00"}, {"confirmed_gone": "x"}])
def test_a_reason_is_needed(sender: Sender, standin: StandIn, body: dict[str, Any]) -> None:
    assert delete(sender, standin.ids("items")[0], **body).status_code == 422


def test_what_the_mirror_never_had_is_not_deleted(sender: Sender) -> None:
    assert delete(sender, "404").status_code == 404
    nothing = sender.post("/api/tds/entities/gadget/1/delete", REASON)
    assert (nothing.status_code, nothing.json["code"]) == (404, "not_found")


def test_rows_of_another_organisation_are_shown_and_removed_as_shown(synced: World, sender: Sender) -> None:
    bring_in(synced, "product", "9901", "9902")
    bring_in(synced, "product", "9903", organization_id="444")
    shown = sender.get(FOREIGN).json
    assert {(each["organization_id"], each["row_count"]) for each in shown} == {(OTHER, 2), ("444", 1)}
    body = {"rows": shown, **REASON}
    wrong = sender.post(f"{FOREIGN}/remove", {"rows": shown[:1], **REASON})
    assert (wrong.status_code, wrong.json["code"]) == (409, "rows_changed")
    removed = sender.post(f"{FOREIGN}/remove", body)
    assert (removed.status_code, removed.json) == (200, {"removed_count": 3, "left": []})
    assert all(synced.row("product", each)["deleted_at"] for each in ("9901", "9902", "9903"))
    assert synced.value("select count(*) from erp.product where deleted_at is null") == 45
    assert last_version(synced, "9901") == ("deleted", "operator")


def test_no_more_than_some_are_removed_by_one_request(
    synced: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manual_deletion, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(manual_deletion, "MOST_ROWS", 3)
    bring_in(synced, "product", *(f"990{n}" for n in range(5)))
    removed = sender.post(f"{FOREIGN}/remove", {"rows": sender.get(FOREIGN).json, **REASON}).json
    assert removed["removed_count"] == 3
    assert removed["left"] == [{"entity": "product", "organization_id": OTHER, "row_count": 2}]


def test_an_operator_may_look_and_not_delete(sender: Sender, standin: StandIn, engine: Engine) -> None:
    with session_scope(engine) as session:
        _, key = api_keys.create_key(session, name="y", role=Role.OPERATOR, by="t")
    client, headers = sender.app.test_client(), {"Authorization": f"Bearer {key}"}
    assert client.get(FOREIGN, headers=headers).status_code == 200
    for path in (f"{FOREIGN}/remove", f"/api/tds/entities/product/{standin.ids('items')[0]}/delete"):
        assert client.post(path, json=REASON, headers=headers).status_code == 403


def test_the_commands_do_the_same(synced: World, sender: Sender, standin: StandIn, tds: CommandLine) -> None:
    source_id = standin.ids("items")[0]
    kept = tds("delete", "product", source_id, "--reason", REASON["reason"])
    assert (kept.exit_code, "Zoho has product" in kept.errors) == (1, True)
    gone = tds("delete", "product", source_id, "--reason", REASON["reason"], "--confirmed-gone", "--json").json
    assert gone["outcome"] == "deleted"
    bring_in(synced, "product", "9901", "9902")
    assert "tds zoho foreign-rows --yes" in tds("zoho", "foreign-rows").out
    assert synced.row("product", "9901")["deleted_at"] is None
    assert "2 rows are marked deleted" in tds("zoho", "foreign-rows", "--yes").out
    assert tds("zoho", "foreign-rows", "--json").json == []
    recorded = {row["operation"] for row in synced.rows("select operation from tds_operator_actions")}
    assert recorded >= {"cli.delete", "cli.zoho.foreign_rows"}
