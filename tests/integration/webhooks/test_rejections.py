"""Bad webhooks: each is answered with what is wrong with it, kept, and changes nothing."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.support.webhook_sender import FORM, GENERIC, PATH, Sender, item, sender_for, signature, wrapped


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


WRONG = "ab" * 32
# What is wrong, the request, and the answer it gets.
UNPROVEN: list[tuple[str, dict[str, Any], int, str]] = [
    ("no signature", {"secret": None}, 401, "signature_missing"),
    ("another secret", {"secret": "anothersecret1"}, 401, "signature_wrong"),
    ("a made-up signature", {"secret": None, "headers": {"X-Zoho-Webhook-Signature": WRONG}}, 401, "signature_wrong"),
    ("a made-up plain one", {"secret": None, "headers": {"X-Zoho-Signature": WRONG}}, 401, "signature_wrong"),
    ("nonsense for a signature", {"secret": None, "headers": {"X-Zoho-Signature": "hello"}}, 401, "signature_wrong"),
    ("an empty signature", {"secret": None, "headers": {"X-Zoho-Signature": ""}}, 401, "signature_missing"),
    ("unsigned to an unknown entity", {"secret": None, "path": f"{GENERIC}/nothing/updated"}, 401, "signature_missing"),
    ("unsigned of an unknown type", {"secret": None, "content_type": "text/xml"}, 401, "signature_missing"),
    ("unsigned and broken", {"secret": None, "body": b"{"}, 401, "signature_missing"),
    ("larger than a mebibyte", {"body": b"[" + b" " * 1_048_576 + b"]"}, 413, "body_too_large"),
    ("a thousand fields", {"query": "a=1&" * 1000}, 413, "too_many_fields"),
]
DEEP = b'{"item":{"item_id":"1","a":' + b"[" * 5000 + b"]" * 5000 + b"}}"
NOT_UNDERSTOOD: list[tuple[str, dict[str, Any], int, str]] = [
    ("an empty body", {"body": b""}, 422, "body_unreadable"),
    ("broken JSON", {"body": b'{"item": {"item_id": "1"'}, 422, "body_unreadable"),
    ("two bodies in one", {"body": wrapped() + wrapped()}, 422, "body_unreadable"),
    ("a list", {"body": b"[1]"}, 422, "body_unreadable"),
    ("a number", {"body": b"5"}, 422, "body_unreadable"),
    ("null", {"body": b"null"}, 422, "body_unreadable"),
    ("NaN", {"body": b'{"item":{"item_id":"1","rate":NaN}}'}, 422, "body_unreadable"),
    ("bytes that are no text", {"body": b'{"item":{"item_id":"1","name":"\xff\xfe"}}'}, 422, "body_unreadable"),
    ("a NUL byte", {"body": b'{"item":{"item_id":"1","name":"\x00"}}'}, 422, "body_unreadable"),
    ("an escaped NUL", {"body": b'{"item":{"item_id":"1","name":"\\u0000"}}'}, 422, "body_unreadable"),
    ("half a character", {"body": b'{"item":{"item_id":"1","name":"\\ud800"}}'}, 422, "body_unreadable"),
    ("absurd nesting", {"body": DEEP}, 422, "body_unreadable"),
    ("a number beyond numeric", {"body": b'{"item":{"item_id":"1","rate":1e200000}}'}, 422, "unstorable"),
    ("a form that is no text", {"body": b"item_id=%ff", "content_type": FORM}, 422, "body_unreadable"),
    ("an empty JSONString", {"body": b"JSONString=", "content_type": FORM}, 422, "body_unreadable"),
    ("XML", {"body": b"<item/>", "content_type": "text/xml"}, 415, "unsupported_content_type"),
    ("multipart", {"content_type": "multipart/form-data; boundary=x"}, 415, "unsupported_content_type"),
    ("an unknown entity", {"path": f"{GENERIC}/nothing/updated"}, 404, "unknown_entity"),
    ("an unknown event", {"path": f"{GENERIC}/product/eaten"}, 404, "unknown_event"),
    (
        "an entity that is not mirrored",
        {"path": GENERIC, "body": b'{"package":{"package_id":"1"}}'},
        404,
        "unknown_entity",
    ),
    ("no record", {"body": b'{"hello":"world"}'}, 422, "record_missing"),
    ("an empty object", {"body": b"{}"}, 422, "record_missing"),
    ("a record that is a list", {"body": b'{"item":[{"item_id":"1"}]}'}, 422, "record_missing"),
    ("a record without an id", {"body": b'{"item":{"name":"x"}}'}, 422, "id_unusable"),
    ("a null id", {"body": wrapped(None)}, 422, "id_unusable"),
    ("an empty id", {"body": wrapped("")}, 422, "id_unusable"),
    ("a fraction for an id", {"body": wrapped(1.5)}, 422, "id_unusable"),
    ("a float for an id", {"body": b'{"item":{"item_id":4.6e18}}'}, 422, "id_unusable"),
    ("a negative id", {"body": wrapped(-1)}, 422, "id_unusable"),
    ("a boolean for an id", {"body": wrapped(True)}, 422, "id_unusable"),
    ("an object for an id", {"body": wrapped({"a": 1})}, 422, "id_unusable"),
    ("an id of a page", {"body": wrapped("9" * 65)}, 422, "id_unusable"),
    ("another entity than the address says", {"body": b'{"invoice":{"invoice_id":"1"}}'}, 422, "entity_mismatch"),
    (
        "a vendor at the customers' address",
        {"path": f"{GENERIC}/customer/updated", "body": b'{"contact":{"contact_id":"1","contact_type":"vendor"}}'},
        422,
        "entity_mismatch",
    ),
    ("a contact of no type", {"path": GENERIC, "body": b'{"contact":{"contact_id":"1"}}'}, 422, "entity_unclear"),
    ("a NUL in the address", {"path": f"{GENERIC}/prod%00uct/updated"}, 404, "unknown_entity"),
]


def _sent(sender: Sender, given: dict[str, Any]) -> Any:
    arguments = dict(given)
    return sender.send(arguments.pop("body", wrapped()), arguments.pop("path", PATH), **arguments)


def _is_problem(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["type"] == f"urn:tds:problem:{code}"
    assert answer.json["title"] and answer.json["detail"]
    assert answer.json["correlation_id"] == answer.headers["X-Correlation-Id"]


@pytest.mark.parametrize(("wrong", "given", "status", "code"), UNPROVEN, ids=[each[0] for each in UNPROVEN])
def test_what_nobody_can_believe_is_refused_kept_and_changes_nothing(
    sender: Sender, wrong: str, given: dict[str, Any], status: int, code: str
) -> None:
    before, rejected, events = (
        sender.believed(),
        sender.count("tds_rejected_deliveries"),
        sender.count("tds_inbox_events"),
    )
    answer = _sent(sender, given)
    _is_problem(answer, status, code)
    assert sender.believed() == before
    assert sender.count("tds_inbox_events") == events, "an unproven delivery became an event"
    assert sender.count("tds_rejected_deliveries") == rejected + 1
    kept = sender.rows("select reason, status, correlation_id from tds_rejected_deliveries order by id desc limit 1")[0]
    assert tuple(kept) == (code, status, answer.json["correlation_id"])


@pytest.mark.parametrize(("wrong", "given", "status", "code"), NOT_UNDERSTOOD, ids=[each[0] for each in NOT_UNDERSTOOD])
def test_what_is_signed_but_not_understood_is_quarantined_and_changes_nothing(
    sender: Sender, wrong: str, given: dict[str, Any], status: int, code: str
) -> None:
    before, rejected = sender.believed(), sender.count("tds_rejected_deliveries")
    answer = _sent(sender, given)
    _is_problem(answer, status, code)
    assert sender.believed() == before
    assert sender.count("tds_rejected_deliveries") == rejected
    event = sender.rows(
        "select verdict, verdict_reason, raw, correlation_id from tds_inbox_events where id = :id",
        id=int(answer.json["event_id"]),
    )[0]
    assert event.verdict == "quarantined"
    assert event.verdict_reason.startswith(f"{code}: ")
    assert bytes(event.raw) == given.get("body", wrapped())
    assert event.correlation_id == answer.json["correlation_id"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_other_methods_are_refused_by_a_problem_that_names_the_right_one(sender: Sender, method: str) -> None:
    answer = sender.app.test_client().open(PATH, method=method)
    _is_problem(answer, 405, "method_not_allowed")
    assert {"POST", "PUT", "DELETE"} <= set(answer.headers["Allow"].split(", "))


def test_a_body_without_a_length_is_measured_while_it_is_read(sender: Sender) -> None:
    body = b"x" * 1_100_000
    answer = sender.app.test_client().post(PATH, data=body, headers={"Content-Length": ""}, environ_overrides={
        "wsgi.input_terminated": True, "CONTENT_LENGTH": ""})  # fmt: skip
    _is_problem(answer, 413, "body_too_large")


def test_a_body_shorter_than_announced_is_not_believed(sender: Sender) -> None:
    body = wrapped()
    answer = sender.app.test_client().post(
        PATH,
        data=body,
        headers={"X-Zoho-Webhook-Signature": signature(body)},
        environ_overrides={"CONTENT_LENGTH": str(len(body) + 10)},
    )
    _is_problem(answer, 400, "body_cut_short")


def test_a_forged_delivery_is_kept_without_its_secrets(sender: Sender) -> None:
    headers = {"Authorization": "Bearer hunter2", "X-Zoho-Signature": WRONG, "X-Note": "a\x7fb", "Cookie": "c=hunter2"}
    sender.send(b"y" * 5000, secret=None, headers=headers)
    kept = sender.rows(
        "select headers, body_start, body_size, path from tds_rejected_deliveries order by id desc limit 1"
    )
    shown = json.dumps(kept[0].headers)
    assert "hunter2" not in shown
    assert WRONG not in shown
    assert kept[0].headers["X-Note"] == "a\x7fb"
    assert (bytes(kept[0].body_start), kept[0].body_size, kept[0].path) == (b"y" * 2048, 5000, PATH)


def test_one_unstorable_delivery_does_not_take_its_burst_down(sender: Sender) -> None:
    bodies = [wrapped(str(n), name="burst") for n in range(900, 919)]
    bodies.insert(7, json.dumps({"item": item("919")}).replace("12.5", "1e200000").encode())
    with ThreadPoolExecutor(20) as threads:
        statuses = [answer.status_code for answer in threads.map(sender.send, bodies)]
    assert statuses.count(202) == 19
    assert statuses[7] == 422
