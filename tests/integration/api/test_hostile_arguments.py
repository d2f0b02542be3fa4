"""What is sent to break something, or to get round a limit: refused with a reason, never a crash, and counted."""

import base64
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_core.auth import api_keys, operators
from tds_core.auth.principal import InvalidArgumentError
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.webhook_sender import FORM, TOKEN, Sender, sender_for, wrapped

API = "/api/tds"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
EARLY, LATE = "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_PROXIES="1") as sender:
        yield sender


def log_in(sender: Sender, name: str, password: str = "wrong password", address: str = "10.0.0.1") -> int:  # noqa: S107
    answer = sender.app.test_client().post(
        f"{API}/session", json={"name": name, "password": password}, headers={"X-Forwarded-For": address}
    )
    return answer.status_code


def test_a_name_spelled_with_nul_is_no_other_name(sender: Sender) -> None:
    with session_scope(sender.engine) as session:
        operators.create_operator(session, name="boss", role=Role.ADMIN, by="test", password="correct horse battery")
    statuses = [log_in(sender, "bo" + "\0" * number + "ss") for number in range(1, 9)]
    assert 429 in statuses, "they count as one"
    assert log_in(sender, "b\0oss", "correct horse battery", address="10.0.0.2") == 401
    assert log_in(sender, " BOSS ", "correct horse battery", address="10.0.0.2") == 201


def test_nobody_is_called_as_a_caller_that_is_no_operator(sender: Sender) -> None:
    for name in ("token", "NOBODY "):
        with session_scope(sender.engine) as session, pytest.raises(InvalidArgumentError, match="another name"):
            operators.create_operator(session, name=name, role=Role.VIEWER, by="test")


BODIES = {
    "500 levels": b'{"name": ' + b"[" * 500 + b"]" * 500 + b"}",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "6,000 digits": b'{"name": ' + b"1" * 6000 + b"}",
    "half a pair": b'{"name": "\\ud800", "password": "x", "reason": "\\ud800", "role": "viewer"}',
    "not a number": b'{"name": NaN}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("headers", [{}, ADMIN], ids=["nobody", "admin"])
def test_a_body_made_to_break_something_is_refused(sender: Sender, body: bytes, headers: dict[str, str]) -> None:
    for path in ("session", "sync/product", "keys", "queue/pause", "dead-letter/retry", "operators"):
        answer = sender.app.test_client().post(
            f"{API}/{path}", data=body, content_type="application/json", headers=headers
        )
        assert answer.status_code in ((400, 422) if headers else (400, 401, 422)), (path, answer.text)
        assert answer.json["code"] != "internal_error"


TIMES = {
    "entities/product": ("changed_since", "as_of"), "entities/product/1": ("as_of",),
    "explain/product/1": ("since", "until"), "zoho/webhooks/recent": ("since", "until"),
    "zoho/webhooks/rejected": ("since", "until"), "audit": ("since", "until"), "runs": ("since",),
    "auto-healing/history": ("since",),
}  # fmt: skip


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in TIMES.items() for name in names])
def test_a_moment_no_clock_ever_shows_is_the_nearest_that_one_does(sender: Sender, path: str, name: str) -> None:
    for moment in (EARLY, LATE):
        answer = sender.get(f"{API}/{path}", **{name: moment})
        assert answer.status_code in (200, 404), answer.text  # 404: there was no such record then
    for moment in ("yesterday", "2026-02-30T00:00:00Z", "2026-02-03T00:00:00"):
        answer = sender.get(f"{API}/{path}", **{name: moment})
        assert (answer.status_code, answer.json["code"]) == (422, "invalid_arguments")


def test_nor_does_one_break_anything_in_a_body_and_no_cursor_holds_one(sender: Sender) -> None:
    made = sender.post(f"{API}/keys", {"name": "x", "role": "viewer", "expires_at": LATE})
    assert (made.status_code, made.json["expires_at"][:4]) == (201, "9999")
    assert sender.post(f"{API}/keys", {"name": "y", "role": "viewer", "expires_at": EARLY}).status_code == 422
    for path in ("zoho/webhooks/recent", "audit"):
        for moment in (EARLY, LATE):
            cursor = base64.urlsafe_b64encode(json.dumps([moment, 1]).encode()).decode().rstrip("=")
            answer = sender.get(f"{API}/{path}", cursor=cursor)
            assert (answer.status_code, answer.json["code"]) == (400, "invalid_cursor"), path


@pytest.mark.parametrize("name", ["%00", "a%00b"])
def test_no_name_in_a_path_holds_a_nul(sender: Sender, name: str) -> None:
    for method, path in (
        ("DELETE", "keys"), ("DELETE", "operators"), ("PATCH", "operators"), ("GET", "entities/product"),
        ("GET", "explain/product"), ("POST", "circuit-breakers"),
    ):  # fmt: skip
        tail = "/reset" if path == "circuit-breakers" else ""
        body = {} if method != "GET" else None
        answer = sender.app.test_client().open(f"{API}/{path}/{name}{tail}", method=method, json=body, headers=ADMIN)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found"), (method, path)


def test_a_refused_delivery_keeps_the_address_it_came_from(sender: Sender) -> None:
    headers = {"X-Forwarded-For": "136.143.190.12", "X-Webhook-Token": "do-not-keep-me"}
    assert sender.send(wrapped(), secret=None, headers=headers).status_code == 401
    [row] = sender.rows("select remote_address, headers::text from tds_rejected_deliveries")
    assert (row[0], "do-not-keep-me" in row[1]) == ("136.143.190.12", False)


def test_a_key_that_ends_gives_nothing_that_outlasts_it(sender: Sender) -> None:
    ends_at = datetime.now(UTC) + timedelta(minutes=5)
    with session_scope(sender.engine) as session:
        _, key = api_keys.create_key(session, name="short", role=Role.ADMIN, by="test", expires_at=ends_at)
        other, _ = api_keys.create_key(session, name="whole", role=Role.ADMIN, by="test")
        _, narrow = api_keys.create_key(
            session, name="narrow", role=Role.ADMIN, by="test", scopes=["keys", "operators"]
        )
        operators.create_operator(session, name="boss", role=Role.ADMIN, by="test")
        operators.create_operator(session, name="spare", role=Role.ADMIN, by="test")
    client, bearer = sender.app.test_client(), {"Authorization": f"Bearer {key}"}

    def make(**more: Any) -> int:
        return client.post(f"{API}/keys", json={"name": "x", "role": "viewer", **more}, headers=bearer).status_code

    assert make() == make(expires_at=(ends_at + timedelta(hours=1)).isoformat()) == 403
    assert make(expires_at=(ends_at - timedelta(minutes=1)).isoformat()) == 201
    assert client.post(f"{API}/operators", json={"name": "eve", "role": "admin"}, headers=bearer).status_code == 403
    bearer = {"Authorization": f"Bearer {narrow}"}
    assert client.delete(f"{API}/keys/{other['prefix']}", headers=bearer).status_code == 403
    assert client.delete(f"{API}/operators/boss", headers=bearer).status_code == 403
    assert sender.app.test_client().delete(f"{API}/operators/boss", headers=ADMIN).status_code == 200


def test_the_page_that_asks_for_the_token_is_no_place_to_guess_it(sender: Sender) -> None:
    client = sender.app.test_client()
    said = [client.post(f"{API}/zoho/oauth/start", data={"token": f"guess {number}"}).text for number in range(33)]
    assert sum("Too many attempts" in text for text in said) in (2, 3)
    assert client.post(f"{API}/zoho/oauth/start", data={"token": TOKEN}).status_code == 401
    assert sender.rows("select count(*) from tds_operator_actions where outcome = 'refused'")[0][0] > 20


def test_guessing_one_s_own_password_is_slowed_down(sender: Sender) -> None:
    with session_scope(sender.engine) as session:
        operators.create_operator(session, name="ali", role=Role.VIEWER, by="test", password="correct horse battery")
    client = sender.app.test_client()
    begun = client.post(f"{API}/session", json={"name": "ali", "password": "correct horse battery"}).json
    headers, body = {"X-CSRF-Token": begun["csrf_token"]}, {"new_password": "another long password"}
    statuses = (
        client.put(
            f"{API}/session/password", json={**body, "current_password": f"no {number}"}, headers=headers
        ).status_code
        for number in range(8)
    )
    assert 429 in itertools.islice(statuses, 8)


def test_what_is_kept_of_a_request_does_not_help_to_guess_a_password_in_it(sender: Sender) -> None:
    body = json.dumps({"name": "zoe", "role": "viewer", "password": "correct horse battery"}).encode()
    answer = sender.app.test_client().post(
        f"{API}/operators", data=body, content_type="application/json", headers={**ADMIN, "Idempotency-Key": "k1"}
    )
    assert answer.status_code == 201
    [row] = sender.rows("select request_digest from tds_kept_answers")
    asked = f"POST {API}/operators?\napplication/json\n".encode()
    assert bytes(row[0]) != blake2b(asked + body, digest_size=32).digest()


@pytest.mark.parametrize("path", ["session", "login", "sync/product", "queue/pause", "zoho/oauth/start"])
@pytest.mark.parametrize("content_type", ["application/json", FORM, "multipart/form-data; boundary=b"])
def test_flask_itself_reads_no_body_over_the_limit(sender: Sender, path: str, content_type: str) -> None:
    answer = sender.app.test_client().post(
        f"/api/tds/{path}", data=b'{"name":"' + b"x" * (1 << 20), content_type=content_type,
        headers={"Authorization": f"Bearer {TOKEN}"},
    )  # fmt: skip
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
