"""Webhooks and workflow rules set up through the API deliver like those of the organisation's people."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.sandbox.conftest import Caller, Listener
from zoho_sandbox.webhooks.signature import sign

SECRET = "abcdefgh12345678"
HOOKS, RULES = "/settings/webhooks", "/settings/workflows"
Control = Callable[..., Any]


def make_webhook(books: Caller, url: str, **more: Any) -> dict[str, Any]:
    body = {"webhook_name": "Tell", "entity": "item", "url": url, "method": "POST", "secret": SECRET, **more}
    answer = books("POST", HOOKS, body)
    assert answer.status_code == 201, answer.text
    return answer.json["webhook"]


def make_rule(books: Caller, webhook: dict[str, Any], rule_type: str = "add_edit", **more: Any) -> dict[str, Any]:
    action = {"action_type": "webhook", "action_id": webhook["webhook_id"]}
    body = {"workflow_name": "Rule", "entity": webhook["entity"], "rule_type": rule_type, "instant_actions": [action]}
    answer = books("POST", RULES, body | more)
    assert answer.status_code == 201, answer.text
    return answer.json["workflow"]


def test_an_active_rule_delivers_signed_until_it_is_switched_off_or_deleted(
    books: Caller, control: Control, listener: Listener
) -> None:
    webhook = make_webhook(books, listener.url, query_parameters=[{"param_name": "entity", "param_value": "item"}])
    rule = make_rule(books, webhook)

    def edited() -> int:
        control("POST", "/edit", {"module": "item", "action": "update", "changes": {"rate": 7}})
        control("POST", "/flush")
        return len(listener.heard)

    assert edited() == 1
    heard = listener.heard[0]
    assert heard.path == "/hook?entity=item"
    assert heard.headers["X-Zoho-Webhook-Signature"] == sign(SECRET, [("entity", "item")], heard.body)
    assert set(msgspec.json.decode(heard.body)) == {"item"}
    assert books("POST", f"{RULES}/{rule['workflow_id']}/inactive").status_code == 200
    assert books.get(f"{RULES}/{rule['workflow_id']}")["workflow"]["status"] == "inactive"
    assert edited() == 1
    books("POST", f"{RULES}/{rule['workflow_id']}/active")
    assert edited() == 2
    assert books("DELETE", f"{RULES}/{rule['workflow_id']}").json["code"] == 0
    assert edited() == 2


@pytest.mark.parametrize(
    ("rule_type", "heard_events"),
    [("add", "c"), ("edit", "e"), ("add_edit", "ce"), ("delete", "d")],
)
def test_a_rule_hears_what_its_type_says(
    books: Caller, control: Control, listener: Listener, rule_type: str, heard_events: str
) -> None:
    make_rule(books, make_webhook(books, listener.url), rule_type)
    made = control("POST", "/edit", {"module": "item", "action": "create", "changes": {"name": "Told"}}, 201)
    asked = {"module": "item", "id": made["item_id"]}
    control("POST", "/edit", asked | {"action": "update", "changes": {"rate": 2}})
    control("POST", "/edit", asked | {"action": "delete"})
    control("POST", "/flush")
    rows = control("GET", "/deliveries")["deliveries"]
    assert "".join(row["event"][0] for row in rows) == heard_events


def test_a_changed_webhook_is_heard_where_it_now_points(books: Caller, control: Control, listener: Listener) -> None:
    webhook = make_webhook(books, "http://127.0.0.1:9/gone")
    make_rule(books, webhook)
    changed = books("PUT", f"{HOOKS}/{webhook['webhook_id']}", {"url": listener.url, "method": "PUT"})
    assert changed.json["webhook"] == webhook | {"url": listener.url, "method": "PUT"}
    control("POST", "/edit", {"module": "item", "action": "update", "changes": {"rate": 7}})
    control("POST", "/flush")
    assert "X-Zoho-Webhook-Signature" in listener.heard[0].headers


def test_bodies_can_be_raw_text_or_chosen_form_fields(books: Caller, control: Control, listener: Listener) -> None:
    raw = make_webhook(books, listener.url, raw_data="id=${ITEM.ITEM_ID}", webhook_name="Raw")
    chosen = [{"param_name": "sku", "param_value": "${ITEM.SKU}"}]
    form = make_webhook(books, listener.url, form_data=chosen, webhook_name="Form")
    make_rule(books, raw)
    make_rule(books, form)
    item = control("POST", "/edit", {"module": "item", "action": "update", "changes": {"sku": "A1"}})
    control("POST", "/flush")
    assert sorted(heard.body for heard in listener.heard) == sorted([f"id={item['item_id']}".encode(), b"sku=A1"])


def test_the_secret_is_not_shown_and_both_products_see_the_same_rules(books: Caller, inventory: Caller) -> None:
    webhook = make_webhook(books, "https://example.test/in")
    rule = make_rule(inventory, webhook)
    assert "secret" not in webhook
    listed = inventory.get(HOOKS)
    assert (listed["webhooks"], listed["page_context"]["has_more_page"]) == ([webhook], False)
    assert books.get(RULES)["workflows"] == [rule]
    assert books("DELETE", f"{HOOKS}/{webhook['webhook_id']}").status_code == 400
    books("DELETE", f"{RULES}/{rule['workflow_id']}")
    assert books("DELETE", f"{HOOKS}/{webhook['webhook_id']}").status_code == 200
    assert books("GET", f"{HOOKS}/{webhook['webhook_id']}").json["code"] == 1002


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook_name": "x" * 51},
        {"webhook_name": " "},
        {"url": "ftp://example.test"},
        {"url": ""},
        {"method": "GET"},
        {"secret": "short"},
        {"secret": "x" * 51},
        {"secret": "not alphanumeric!"},
        {"entity": "pricebook"},
        {"description": "x" * 101},
        {"headers": [{"value": "x"}]},
    ],
)
def test_a_webhook_zoho_would_not_keep_is_refused(books: Caller, wrong: dict[str, Any]) -> None:
    body = {"webhook_name": "Tell", "entity": "item", "url": "https://example.test/in"} | wrong
    refused = books("POST", HOOKS, body)
    assert (refused.status_code, refused.json["code"]) == (400, 2), refused.text


def test_webhook_names_are_given_once(books: Caller) -> None:
    first = make_webhook(books, "https://example.test/in")
    again = books("POST", HOOKS, {"webhook_name": "Tell", "entity": "item", "url": "https://example.test/in"})
    assert (again.status_code, again.json["code"]) == (400, 107051)
    assert books("PUT", f"{HOOKS}/{first['webhook_id']}", {"webhook_name": "Tell"}).status_code == 200


def test_rules_are_capped_by_module_and_in_all_and_call_one_webhook_of_their_module(books: Caller) -> None:
    webhook = make_webhook(books, "https://example.test/in")
    for _ in range(10):
        make_rule(books, webhook)
    body = {"workflow_name": "One more", "rule_type": "add", "entity": "item"}
    assert books("POST", RULES, body).json["message"] == "You can create only 10 workflow rules for a module."
    action = {"action_type": "webhook", "action_id": webhook["webhook_id"]}
    for wrong in ({"instant_actions": [action, action]}, {"instant_actions": [action]}, {"rule_type": "sometimes"}):
        assert books("POST", RULES, body | {"entity": "bill"} | wrong).status_code == 400
    assert books("POST", RULES, body | {"entity": "bill"}).status_code == 201
