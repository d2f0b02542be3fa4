"""Admins erase a person over HTTP and by command; others may not, and both leave their line in the action log."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_core.auth import api_keys
from tds_core.statistics import manual_interventions
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.integration.erasure.test_erase import ANN, ID, WORDS, customer, her_invoice, places_of
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World, delivery

PATH = f"/api/tds/erasures/{ANN.entity}/{ID}"
FIND = "/api/tds/erasures/find"
REASON = {"reason": "request of 3 November", "although_zoho_has_it": True}


@pytest.fixture
def known(world: World) -> World:
    world.deliver(delivery("customer", customer()), delivery("invoice", her_invoice()))
    world.drain("customer")
    world.drain("invoice")
    return world


@pytest.fixture
def sender(known: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_SECRET_KEY=os.environ["TDS_SECRET_KEY"]) as sender:
        yield sender


def says_nothing_of_her(answer: Any) -> bool:
    return not any(word in answer.text.lower() for word in WORDS)


def test_an_admin_looks_erases_and_repeats(sender: Sender, known: World) -> None:
    assert sender.post(FIND, {"email": "salwa.b@example.iq"}).json == {"entity": "customer", "source_id": ID}
    looked = sender.get(PATH)
    assert (looked.status_code, looked.json["note_number"], looked.json["document_count"]) == (200, None, 1)
    assert says_nothing_of_her(looked)
    assert {each["table"] for each in looked.json["places"]} >= {"erp.customer", "erp.invoice", "tds_audit_trail"}
    assert places_of(known)
    erased = sender.post(PATH, REASON)
    assert (erased.status_code, erased.json["row_count"]) == (200, looked.json["row_count"])
    assert places_of(known) == set()
    again = sender.post(PATH, REASON)
    assert (again.json["row_count"], again.json["note_number"]) == (0, erased.json["note_number"])
    logged = known.rows("select operation, detail from tds_operator_actions where outcome = 'done' order by id")
    assert {each["operation"] for each in logged} == {"erasures.find", "erasures.erase"}
    assert logged[-1]["detail"]["reason"] == REASON["reason"]
    assert {each["operation"] for each in logged} <= manual_interventions.OTHER


def test_who_zoho_may_still_have_stays(sender: Sender, known: World) -> None:
    asked = sender.post(PATH, {"reason": "request of 3 November"})
    assert asked.status_code in (502, 503), "no connection to Zoho is set up here"
    assert places_of(known)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_nobody_but_an_admin_may(sender: Sender, known: World, engine: Engine, role: Role) -> None:
    with session_scope(engine) as session:
        _, key = api_keys.create_key(session, name="y", role=role, by="t")
    client, headers = sender.app.test_client(), {"Authorization": f"Bearer {key}"}
    assert client.get(PATH, headers=headers).status_code == 403
    assert client.post(PATH, json=REASON, headers=headers).status_code == 403
    assert client.post(FIND, json={"email": "salwa.b@example.iq"}, headers=headers).status_code == 403
    assert places_of(known)


def test_what_is_asked_wrongly_is_told(sender: Sender) -> None:
    assert sender.post(PATH, {"reason": ""}).status_code == 422
    assert sender.post("/api/tds/erasures/product/1", REASON).json["code"] == "invalid_person"
    assert sender.post("/api/tds/erasures/customer/404", REASON).status_code == 404
    assert sender.post(FIND, {"email": "nobody@example.iq"}).status_code == 404
    assert sender.post(FIND, {"email": "no address"}).status_code == 422


def test_the_command_shows_first_and_erases_with_yes(
    known: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys)
    shown = tds("erase", "person", "--email", "salwa.b@example.iq")
    assert (shown.exit_code, f"--entity customer --id {ID} --yes" in " ".join(shown.out.split())) == (0, True)
    assert "Backups made before now" in shown.out
    assert places_of(known)
    assert tds("erase", "person", "--id", ID).exit_code == 2
    assert tds("erase", "person", "--entity", "customer", "--id", ID, "--yes").exit_code == 2, "without a reason"
    command = ("erase", "person", "--entity", "customer", "--id", ID, "--yes", "--reason", "file 12",
               "--although-zoho-has-it")  # fmt: skip
    erased = tds(*command, "--json").json
    assert (erased["row_count"] > 3, places_of(known)) == (True, set())
    assert known.value("select count(*) from tds_operator_actions where operation = 'cli.erase.person'") == 1
    left = tds("erase", "person", "--entity", "customer", "--id", ID)
    assert f"Seal {erased['note_number']} says that it was erased." in " ".join(left.out.split())
    tds("audit", "seal")
    verified = tds("audit", "verify")
    assert (verified.exit_code, "A person was erased, seal" in verified.out) == (0, True)
