"""What the control interface shows and switches."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.sandbox.conftest import ORG, Caller
from zoho_sandbox.sandbox import Sandbox

Control = Callable[..., Any]


def test_the_state_counts_records_and_calls(control: Control, books: Caller) -> None:
    books("GET", "/items")
    books("GET", "/items/1")
    state = control("GET", "/state")
    assert state["entities"]["items"] == {"live": 450, "deleted": 0}
    assert state["api_calls"]["GET /books/v3/items"] == {"200": 1}
    assert state["api_calls"]["GET /books/v3/items/<record_id>"] == {"404": 1}
    assert state["quota_used"]["day"] == {"ZohoBooks": 2}


def test_the_dump_is_every_living_record_in_full(control: Control, books: Caller) -> None:
    made = control("POST", "/edit", {"module": "item", "action": "create", "changes": {"name": "Short Lived"}}, 201)
    control("POST", "/edit", {"module": "item", "action": "delete", "id": made["item_id"]})
    lines = books.client.get("/_control/dump/items").data.splitlines()
    records = [msgspec.json.decode(line) for line in lines]
    assert len(records) == 450
    assert books.get(f"/items/{records[3]['item_id']}")["item"].items() <= records[3].items()
    assert control("GET", "/deleted/items") == {"ids": [made["item_id"]]}
    assert control("GET", "/state")["entities"]["items"] == {"live": 450, "deleted": 1}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("error_500", 500, 1000),
        ("rate_minute", 429, 44),
        ("rate_day", 429, 45),
        ("concurrency", 429, 1070),
        ("unauthorized", 401, 57),
    ],
)
def test_an_appointed_refusal_meets_one_call_only(
    control: Control, books: Caller, kind: str, status: int, code: int
) -> None:
    control("POST", "/fault-once", {"kind": kind})
    answer = books("GET", "/items")
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert books("GET", "/items").status_code == 200


def test_gateway_pages_are_html_and_cut_bodies_no_json(control: Control, books: Caller) -> None:
    queue = [{"kind": "html_502"}, {"kind": "truncated"}, {"kind": "no_page_context"}]
    control("POST", "/fault-queue", {"faults": queue})
    gateway = books("GET", "/items")
    assert (gateway.status_code, gateway.mimetype) == (502, "text/html")
    assert b"Bad Gateway" in gateway.data
    cut = books("GET", "/items")
    assert cut.status_code == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(cut.data)
    assert "page_context" not in books.get("/items")
    assert "page_context" in books.get("/items")


def test_an_appointment_waits_for_its_path_and_its_count(control: Control, books: Caller) -> None:
    control("POST", "/fault-once", {"kind": "error_500", "count": 2, "path_prefix": "/books/v3/contacts"})
    paths = ("/items", "/contacts", "/contacts", "/contacts")
    assert [books("GET", path).status_code for path in paths] == [200, 500, 500, 200]


def test_faults_by_chance_come_about_as_often_as_asked(control: Control, books: Caller) -> None:
    control("POST", "/faults", {"api": {"html_503": 0.5}})
    failed = sum(books("GET", "/organizations").status_code == 503 for _ in range(100))
    assert 25 < failed < 75
    control("DELETE", "/faults")
    assert all(books("GET", "/organizations").status_code == 200 for _ in range(20))


def test_revoked_tokens_are_dead_while_the_refresh_token_lives(
    control: Control, books: Caller, sandbox: Sandbox
) -> None:
    assert control("POST", "/revoke-tokens") == {"revoked_count": 1}
    assert books("GET", "/items").status_code == 401
    assert sandbox.accounts.refresh(sandbox.settings.refresh_token).startswith("1000.")


def test_nonsense_is_answered_with_what_is_known(control: Control) -> None:
    for path, body in (
        ("/limits", {"calls_per_hour": 1}),
        ("/limits", {"calls_per_day": -1}),
        ("/faults", {"drop": 2}),
        ("/faults", {"lose": 1}),
        ("/faults", {"api": {"meteor": 1}}),
        ("/fault-once", {"kind": "meteor"}),
        ("/edit", {"module": "planet", "action": "create"}),
        ("/edits/start", {"rate_per_second": 1, "mix": {"item_eat": 1}}),
    ):
        assert control("POST", path, body, 400)["error"]
    assert control("GET", "/state")["organization_id"] == ORG


def test_a_dump_shows_what_lists_alone_show(books: Caller) -> None:
    dumped = [msgspec.json.decode(line) for line in books.client.get("/_control/dump/users").data.splitlines()]
    assert dumped
    assert all(each["email"] and each["email_ids"] for each in dumped)
