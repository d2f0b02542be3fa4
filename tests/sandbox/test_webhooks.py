"""Webhooks arrive signed and truthful, unless a fault was asked for; then it is the fault asked for and counted."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tests.sandbox.conftest import Caller, Heard, Listener, TurnableClock
from zoho_sandbox.sandbox import Sandbox
from zoho_sandbox.webhooks.signature import sign, string_to_sign

SECRET = "abcdefgh12345678"
Control = Callable[..., Any]


def rule(listener: Listener, module: str = "item", event: str = "edited", **more: Any) -> dict[str, Any]:
    return {"module": module, "event": event, "url": listener.url, "secret": SECRET, **more}


def edit_item(control: Control, **changes: Any) -> dict[str, Any]:
    return control("POST", "/edit", {"module": "item", "action": "update", "changes": changes})


def flushed(control: Control) -> dict[str, Any]:
    control("POST", "/flush", {"timeout_seconds": 10})
    return control("GET", "/state")["deliveries"]


def expected_signature(heard: Heard) -> str:
    pairs = parse_qsl(urlsplit(heard.path).query, keep_blank_values=True)
    text = "".join(key + value for key, value in sorted(pairs)).encode() + heard.body
    return hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()


def test_the_string_to_sign_is_the_one_zoho_shows() -> None:
    body = b'{"created_date":"2019-03-06","event_id":"5675"}'
    shown = b'namebasicsubscription_id90343{"created_date":"2019-03-06","event_id":"5675"}'
    assert string_to_sign([("subscription_id", "90343"), ("name", "basic")], body) == shown
    assert sign("s" * 12, [], b"x") == hmac.new(b"s" * 12, b"x", hashlib.sha256).hexdigest()


def test_an_edit_is_reported_with_the_whole_record_and_nothing_else(
    control: Control, listener: Listener, books: Caller
) -> None:
    control("POST", "/webhooks", [rule(listener, query={"module": "item", "b": "2"}, headers={"X-Rule": "r1"})])
    item = edit_item(control, rate=7.25)
    assert flushed(control)["by_kind"] == {"genuine": {"200": 1}}
    [heard] = listener.heard
    assert msgspec.json.decode(heard.body) == {"item": books.get(f"/items/{item['item_id']}")["item"]}
    assert (heard.headers["Content-Type"], heard.headers["X-Rule"]) == ("application/json", "r1")
    assert heard.headers["X-Zoho-Webhook-Signature"] == expected_signature(heard)
    [row] = control("GET", "/deliveries")["deliveries"]
    assert (row["module"], row["event"], row["record_id"]) == ("item", "edited", item["item_id"])
    assert (row["kind"], row["status_code"], row["error"]) == ("genuine", 200, "")


def test_each_module_and_event_has_its_own_rule(control: Control, listener: Listener, books: Caller) -> None:
    modules = ("item", "customer", "vendor", "invoice")
    wanted = [
        rule(listener, module, event, url=f"{listener.url}/{module}/{event}")
        for module in modules
        for event in ("created", "edited", "deleted")
    ]
    control("POST", "/webhooks", wanted)
    for module, made in (
        ("item", {"name": "Hooked"}),
        ("customer", {"contact_name": "Hooked"}),
        ("vendor", {"contact_name": "Hooked Supply"}),
    ):
        record = control("POST", "/edit", {"module": module, "action": "create", "changes": made}, 201)
        record_id = record.get("item_id") or record["contact_id"]
        asked = {"module": module, "id": record_id}
        control("POST", "/edit", asked | {"action": "update", "changes": {"description": "x"}})
        control("POST", "/edit", asked | {"action": "delete"})
        flushed(control)
        paths = [heard.path for heard in listener.heard[-3:]]
        assert paths == [f"/hook/{module}/{event}" for event in ("created", "edited", "deleted")]
        assert all(next(iter(heard.record().values())) == record_id for heard in listener.heard[-3:])
    assert set(msgspec.json.decode(listener.heard[-1].body)) == {"contact"}


def test_without_a_rule_or_a_secret_nothing_is_sent_or_signed(control: Control, listener: Listener) -> None:
    edit_item(control, rate=1)
    assert flushed(control)["sent_count"] == 0
    control("POST", "/webhooks", [rule(listener, secret="")])
    edit_item(control, rate=2)
    flushed(control)
    assert "X-Zoho-Webhook-Signature" not in listener.heard[0].headers
    control("DELETE", "/webhooks")
    edit_item(control, rate=3)
    assert flushed(control)["sent_count"] == 1


def test_form_bodies_are_signed_by_their_parameters(control: Control, listener: Listener) -> None:
    for form in ("form", "jsonstring"):
        listener.heard.clear()
        control("POST", "/webhooks", [rule(listener, format=form, query={"kind": "a b"})])
        item = edit_item(control, description="plus + and ü & more")
        flushed(control)
        [heard] = listener.heard
        fields = parse_qsl(heard.body.decode(), keep_blank_values=True)
        assert heard.headers["X-Zoho-Webhook-Signature"] == sign(SECRET, [("kind", "a b"), *fields])
        if form == "jsonstring":
            assert msgspec.json.decode(dict(fields)["JSONString"]) == {"item": item}
        else:
            assert dict(fields)["description"] == item["description"]
            assert msgspec.json.decode(dict(fields)["locations"]) == item["locations"]


def test_a_raw_body_has_its_placeholders_filled(control: Control, listener: Listener) -> None:
    body = '{"id": "${ITEM.ITEM_ID}", "rate": ${ITEM.RATE}, "none": "${ITEM.NOTHING}"}'
    control("POST", "/webhooks", [rule(listener, format="raw", body=body, content_type="application/json")])
    item = edit_item(control, rate=4.5)
    flushed(control)
    [heard] = listener.heard
    assert msgspec.json.decode(heard.body) == {"id": item["item_id"], "rate": 4.5, "none": ""}
    assert heard.headers["X-Zoho-Webhook-Signature"] == expected_signature(heard)


def test_a_rule_without_a_body_tells_of_the_record_by_its_parameters(control: Control, listener: Listener) -> None:
    asked = {"item_id": "${ITEM.ITEM_ID}", "event": "deleted"}
    control("POST", "/webhooks", [rule(listener, format="none", query=asked)])
    item = edit_item(control, rate=4.5)
    flushed(control)
    [heard] = listener.heard
    assert (heard.body, heard.path) == (b"", f"/hook?event=deleted&item_id={item['item_id']}")
    signed = sign(SECRET, [("item_id", item["item_id"]), ("event", "deleted")])
    assert heard.headers["X-Zoho-Webhook-Signature"] == signed


def test_a_parameter_that_comes_again_is_signed_in_the_order_the_rule_says() -> None:
    twice = [("b", "2"), ("a", "9"), ("b", "1")]
    assert string_to_sign(twice) == b"a9b1b2"
    assert string_to_sign(twice, ties="sent") == b"a9b2b1"


def test_deliveries_of_one_record_share_a_connection_and_keep_their_order(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    for rate in range(20):
        edit_item(control, rate=rate)
    flushed(control)
    assert [heard.record()["rate"] for heard in listener.heard] == [float(rate) for rate in range(20)]
    assert len({heard.peer for heard in listener.heard}) == 1


def test_several_edits_in_one_second_share_a_modified_time(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    for rate in range(8):
        edit_item(control, rate=rate)
    flushed(control)
    told = [(heard.record()["last_modified_time"], heard.record()["rate"]) for heard in listener.heard]
    assert len({time for time, _rate in told}) <= 2
    assert len({rate for _time, rate in told}) == 8


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("drop", {}),
        ("duplicate", {"duplicate": 3, "genuine": 3}),
        ("stale", {"stale": 3}),
        ("partial", {"partial": 3}),
        ("forge", {"forged": 3, "genuine": 3}),
    ],
)
def test_a_certain_fault_spoils_every_delivery_and_is_counted(
    control: Control, listener: Listener, fault: str, kinds: dict[str, int]
) -> None:
    control("POST", "/webhooks", [rule(listener)])
    control("POST", "/faults", {fault: 1})
    for rate in (1, 2, 3):
        edit_item(control, rate=rate)
    state = flushed(control)
    assert {kind: counts["200"] for kind, counts in state["by_kind"].items()} == kinds
    assert state["dropped_count"] == (3 if fault == "drop" else 0)
    assert len(listener.heard) == sum(kinds.values())


def test_a_forger_who_must_wait_forges_once(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    control("POST", "/faults", {"forge": 1, "forge_gap_seconds": 600})
    for rate in (1, 2, 3):
        edit_item(control, rate=rate)
    assert {kind: counts["200"] for kind, counts in flushed(control)["by_kind"].items()} == {"forged": 1, "genuine": 3}


def test_a_stale_body_is_the_record_before_the_change(
    control: Control, listener: Listener, books: Caller, turnable: TurnableClock
) -> None:
    control("POST", "/webhooks", [rule(listener)])
    before = edit_item(control, rate=1)
    flushed(control)
    control("POST", "/faults", {"stale": 1})
    turnable.added_seconds = 30
    after = edit_item(control, rate=2)
    flushed(control)
    assert listener.heard[-1].record() == before
    assert before["last_modified_time"] < after["last_modified_time"]
    assert listener.heard[-1].headers["X-Zoho-Webhook-Signature"] == expected_signature(listener.heard[-1])


def test_a_partial_invoice_has_no_lines_and_a_forged_one_no_right_signature(
    control: Control, listener: Listener
) -> None:
    control("POST", "/webhooks", [rule(listener, "invoice")])
    edit = {"module": "invoice", "action": "update", "changes": {"notes": "n"}}
    control("POST", "/faults", {"partial": 1})
    full = control("POST", "/edit", edit)
    flushed(control)
    record = listener.heard[-1].record()
    assert "line_items" not in record
    assert record["invoice_id"] == full["invoice_id"]
    assert len(record) < len(full)
    control("DELETE", "/faults")
    control("POST", "/faults", {"forge": 1})
    control("POST", "/edit", edit)
    flushed(control)
    signed = [heard.headers["X-Zoho-Webhook-Signature"] == expected_signature(heard) for heard in listener.heard[-2:]]
    assert signed == [True, False]
    assert listener.heard[-1].record()["total"] != full["total"]


def test_a_reordered_delivery_comes_after_a_later_change_of_its_record(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    control("POST", "/faults", {"reorder": 1, "reorder_hold_seconds": 60})
    edit_item(control, rate=1)
    control("POST", "/faults", {"reorder": 0})
    edit_item(control, rate=2)
    state = flushed(control)
    assert [heard.record()["rate"] for heard in listener.heard] == [2.0, 1.0]
    assert state["by_kind"] == {"genuine": {"200": 1}, "reordered": {"200": 1}}


def test_a_held_delivery_without_a_later_change_goes_out_after_all(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    control("POST", "/faults", {"reorder": 1, "reorder_hold_seconds": 60})
    edit_item(control, rate=1)
    assert control("GET", "/state")["deliveries"]["held_count"] == 1
    assert flushed(control)["by_kind"] == {"genuine": {"200": 1}}


def test_a_delayed_delivery_is_pending_until_it_is_due(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    control("POST", "/faults", {"delay_seconds": [0.4, 0.5]})
    edit_item(control, rate=1)
    assert control("POST", "/flush", {"timeout_seconds": 0.05}, 504) == {"pending_count": 1}
    assert listener.heard == []
    assert flushed(control)["pending_count"] == 0
    assert len(listener.heard) == 1


def test_a_refused_delivery_is_tried_once_unless_a_retry_policy_says_more(control: Control, listener: Listener) -> None:
    control("POST", "/webhooks", [rule(listener)])
    listener.statuses = [503]
    edit_item(control, rate=1)
    assert flushed(control)["by_kind"] == {"genuine": {"503": 1}}
    control("POST", "/faults", {"retry_seconds": [0.05, 0.05]})
    listener.statuses = [500, 500, 200]
    edit_item(control, rate=2)
    assert flushed(control)["by_kind"]["genuine"] == {"200": 1, "500": 2, "503": 1}
    assert [row["attempt"] for row in control("GET", "/deliveries")["deliveries"]] == [1, 1, 2, 3]


def test_nobody_listening_is_an_error_that_is_recorded(control: Control) -> None:
    control("POST", "/webhooks", [{"module": "item", "event": "edited", "url": "http://127.0.0.1:9/"}])
    edit_item(control, rate=1)
    assert flushed(control)["by_kind"] == {"genuine": {"error": 1}}
    assert "Refused" in control("GET", "/deliveries")["deliveries"][0]["error"]


def test_above_the_daily_cap_changes_are_not_sent_until_the_next_day(
    control: Control, listener: Listener, sandbox: Sandbox, turnable: TurnableClock
) -> None:
    assert type(sandbox.settings)().webhooks_per_day == 1000
    control("POST", "/limits", {"webhooks_per_day": 2})
    control("POST", "/webhooks", [rule(listener)])
    for rate in range(5):
        edit_item(control, rate=rate)
    state = flushed(control)
    assert (state["sent_count"], state["capped_count"], state["day_count"]) == (2, 3, 2)
    turnable.added_seconds = 86_400
    edit_item(control, rate=9)
    assert flushed(control)["sent_count"] == 3


def test_a_rule_that_zoho_would_not_take_is_refused(control: Control, listener: Listener) -> None:
    for wrong in ({"secret": "short"}, {"secret": "with spaces and !"}, {"module": "pricebook"}, {"url": "ftp://x"}):
        assert "error" in control("POST", "/webhooks", [rule(listener) | wrong], 400)
    assert control("GET", "/webhooks")["webhooks"] == []
