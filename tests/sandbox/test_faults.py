"""Listings that lie, Zoho away, revoked access, and days that pass in seconds: each when asked for, and no longer."""

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.sandbox.conftest import ORG, Caller, TurnableClock
from zoho_sandbox.sandbox import Sandbox

Control = Callable[..., Any]


def test_a_listing_can_end_too_early_until_the_fault_is_cleared(control: Control, books: Caller) -> None:
    control("POST", "/fault-once", {"kind": "listing_cut", "path_prefix": "/books/v3/items", "page": 2, "count": 0})
    whole = set(books.ids("contacts", "contact_id"))
    for _ in range(2):
        assert len(books.ids("items", "item_id", per_page=100)) == 200
    assert books.get("/items", per_page=100)["page_context"]["has_more_page"]
    assert set(books.ids("contacts", "contact_id")) == whole
    control("DELETE", "/faults")
    assert len(books.ids("items", "item_id", per_page=100)) == 450


def test_a_listing_can_be_empty_or_lose_half_of_its_rows_while_details_stay(
    control: Control, books: Caller, sandbox: Sandbox
) -> None:
    control("POST", "/fault-once", {"kind": "listing_empty", "count": 1})
    record_id = next(iter(sandbox.world.collections["items"].records))
    assert books.get(f"/items/{record_id}")["item"]
    assert books.get("/items")["items"] == []
    control("POST", "/fault-once", {"kind": "listing_halved", "count": 0})
    half = books.ids("items", "item_id")
    assert 150 < len(half) < 300
    assert sorted(books.ids("items", "item_id", sort_column="created_time", per_page=50)) == sorted(half)


@pytest.mark.parametrize(("kind", "status"), [("error_500", 500), ("html", 503), ("truncated", 200)])
def test_while_zoho_is_away_every_call_fails_alike_and_then_none(
    control: Control, books: Caller, sandbox: Sandbox, kind: str, status: int
) -> None:
    control("POST", "/outage", {"kind": kind, "seconds": 30})
    given = sandbox.settings
    login = {"client_id": given.client_id, "client_secret": given.client_secret, "refresh_token": given.refresh_token}
    for answer in (
        books("GET", "/items"),
        books("GET", "/organizations"),
        books.client.post("/oauth/v2/token", data={"grant_type": "refresh_token", **login}),
    ):
        assert answer.status_code == status
        if kind != "error_500":
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(answer.data)
    assert control("GET", "/state")["outage"]["kind"] == kind
    control("DELETE", "/outage")
    assert books("GET", "/items").status_code == 200


def test_an_outage_ends_by_itself_and_lets_go_who_hangs(control: Control, books: Caller) -> None:
    control("POST", "/outage", {"kind": "hanging", "seconds": 0.4, "accounts": False})
    started_at = time.monotonic()
    with pytest.raises(RuntimeError):
        _ = books("GET", "/items").data
    assert time.monotonic() - started_at >= 0.35
    assert books("GET", "/items").status_code == 200
    control("POST", "/outage", {"kind": "hanging", "seconds": 60})
    waiting = threading.Thread(target=lambda: books("GET", "/items", buffered=False))
    waiting.start()
    time.sleep(0.1)
    assert waiting.is_alive()
    control("DELETE", "/outage")
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_revoked_refresh_token_is_an_invalid_code_until_access_is_given_again(
    control: Control, books: Caller, sandbox: Sandbox
) -> None:
    given = sandbox.settings
    asked = {"client_id": given.client_id, "client_secret": given.client_secret, "refresh_token": given.refresh_token}

    def refresh() -> Any:
        answer = books.client.post("/oauth/v2/token", data={"grant_type": "refresh_token", **asked})
        assert answer.status_code == 200
        return answer.json

    token = refresh()["access_token"]
    assert control("POST", "/refresh-tokens", {"on": False}) == {"ended_count": 1}
    assert refresh() == {"error": "invalid_code"}
    assert Caller(books.client, token)("GET", "/items").status_code == 401
    control("POST", "/refresh-tokens", {"on": True})
    assert "access_token" in refresh()


def test_minutes_and_days_can_pass_in_moments(
    control: Control, books: Caller, sandbox: Sandbox, turnable: TurnableClock
) -> None:
    control("POST", "/limits", {"calls_per_minute": 2, "calls_per_day": 5, "window_speed": 60})
    assert [books("GET", "/organizations").status_code for _ in range(3)] == [200, 200, 429]
    turnable.added_seconds += 1.01
    assert [books("GET", "/organizations").status_code for _ in range(3)] == [200, 200, 429]
    turnable.added_seconds += 1.01
    answer = books("GET", "/organizations")
    reset_seconds = int(answer.headers["X-Rate-Limit-Reset"])
    assert 0 < reset_seconds <= 86_400 / 60 + 1
    assert books("GET", "/organizations").json["code"] == 45
    turnable.added_seconds += reset_seconds
    books.token = sandbox.accounts.issue_freely()
    assert books("GET", "/organizations").status_code == 200


def test_every_call_is_in_the_log_with_how_it_was_answered(control: Control, books: Caller) -> None:
    books("GET", "/items", page=2)
    control("POST", "/fault-once", {"kind": "rate_minute"})
    books("GET", "/contacts")
    books.client.post("/oauth/v2/token?client_secret=hidden")
    log = control("GET", "/calls")
    assert log["counts"]["GET /books/v3/items"] == {"200": 1}
    assert log["counts"]["POST /oauth/v2/token"] == {"200": 1}
    listed, refused, login = log["calls"]
    assert (listed["path"], listed["query"]) == ("/books/v3/items", f"organization_id={ORG}&page=2")
    assert (refused["status"], refused["code"]) == (429, 44)
    assert login["query"] == ""
    assert 0 <= listed["seconds"] < 5
    assert listed["at"] <= refused["at"] <= time.time()
    assert control("GET", "/calls?status=429")["calls"] == [refused]
    assert control("GET", f"/calls?after={refused['sequence']}")["calls"] == [login]
    control("DELETE", "/calls")
    assert control("GET", "/calls") == {"counts": {}, "calls": []}


def test_an_error_can_come_inside_a_good_answer(control: Control, books: Caller, sandbox: Sandbox) -> None:
    record_id = next(iter(sandbox.world.collections["invoices"].records))
    control(
        "POST", "/fault-once", {"kind": "refusal", "path_prefix": "/books/v3/invoices", "code": 1002, "message": "No"}
    )
    answer = books("GET", f"/invoices/{record_id}")
    assert (answer.status_code, msgspec.json.decode(answer.data)) == (200, {"code": 1002, "message": "No"})
    control("POST", "/fault-once", {"kind": "no_record"})
    assert books.get(f"/invoices/{record_id}") == {"code": 0, "message": "success"}
    control("POST", "/fault-once", {"kind": "other_record"})
    assert books.get(f"/invoices/{record_id}")["invoice"]["invoice_id"] == str(int(record_id) + 1)
    assert books.get(f"/invoices/{record_id}")["invoice"]["invoice_id"] == record_id


def test_an_answer_can_be_too_large_and_half_a_page_is_half_as_large(control: Control, books: Caller) -> None:
    control("POST", "/fault-once", {"kind": "padded", "mib": 2, "count": 2})
    assert len(books("GET", "/items", per_page=200).data) > 2 << 20
    assert 1 << 20 < len(books("GET", "/items", per_page=100).data) < 2 << 20
