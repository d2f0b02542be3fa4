"""Access over HTTP: log-in, sessions, CSRF, guessing, limits, requests sent twice, and the record of who did what."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.test import TestResponse

from tds_core.auth import api_keys, operators
from tds_core.auth.rate_limits import REST_SECONDS, RateLimiter, per_minute
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.database_role import superuser
from tests.support.webhook_sender import TOKEN, Sender, sender_for

SESSION, KEYS, OPERATORS, AUDIT = (f"/api/tds/{name}" for name in ("session", "keys", "operators", "audit"))
SYNC = "/api/tds/sync/product"
PASSWORD = "correct horse battery"


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def browser(sender: Sender) -> FlaskClient:
    with session_scope(sender.engine) as session:
        operators.create_operator(session, name="boss", role=Role.ADMIN, by="test", password=PASSWORD)
        operators.create_operator(session, name="ali", role=Role.OPERATOR, by="test", password=PASSWORD)
    return sender.app.test_client()


def log_in(client: FlaskClient, name: str = "ali", password: str = PASSWORD, **more: Any) -> TestResponse:
    return client.post(SESSION, json={"name": name, "password": password}, **more)


def cookie_of(answer: TestResponse) -> str:
    return answer.headers["Set-Cookie"].split(";")[0].partition("=")[2]


def key_for(sender: Sender, role: Role = Role.ADMIN, **more: Any) -> dict[str, str]:
    with session_scope(sender.engine) as session:
        _, key = api_keys.create_key(session, name="test", role=role, by="test", **more)
    return {"Authorization": f"Bearer {key}"}


def recorded(sender: Sender, what: str = "operation, outcome, caller, status") -> list[tuple]:
    return [tuple(row) for row in sender.rows(f"select {what} from tds_operator_actions order by id")]


def test_an_operator_logs_in_acts_and_logs_out(sender: Sender, browser: FlaskClient) -> None:
    told = log_in(browser)
    assert (told.status_code, told.json["name"], told.json["role"]) == (201, "ali", "operator")
    change = {"headers": {"X-CSRF-Token": told.json["csrf_token"]}}
    assert browser.post(SYNC, json={"mode": "full"}, **change).status_code == 202
    assert sender.rows("select requested_by from tds_sync_runs") == [("ali",)]
    assert browser.get(KEYS).status_code == 403
    assert browser.delete(SESSION, **change).status_code == 204
    assert browser.get(SESSION).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(browser: FlaskClient) -> None:
    cookie = log_in(browser).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" in log_in(browser, base_url="https://tds.example").headers["Set-Cookie"]


def test_a_session_somebody_planted_is_not_the_one_that_is_logged_in(sender: Sender, browser: FlaskClient) -> None:
    planted = cookie_of(log_in(sender.app.test_client()))
    for fixed in ("chosen-by-an-attacker", planted):
        browser.set_cookie("tds_session", fixed, domain="localhost")
        assert cookie_of(log_in(browser, "boss")) != fixed
        stranger = sender.app.test_client()
        stranger.set_cookie("tds_session", fixed, domain="localhost")
        assert stranger.get(SESSION).status_code == 401


@pytest.mark.parametrize("token", [None, "", "guessed", "0" * 64])
def test_another_sites_request_changes_nothing(sender: Sender, browser: FlaskClient, token: str | None) -> None:
    log_in(browser)
    headers = {} if token is None else {"X-CSRF-Token": token}
    for method, path in (("POST", SYNC), ("DELETE", SESSION), ("PUT", f"{SESSION}/password")):
        answer = browser.open(path, method=method, json={"mode": "full"}, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (403, "csrf_token_wrong")
    assert sender.count("tds_sync_runs") == 0
    assert browser.get(SESSION).status_code == 200


def test_the_csrf_token_of_one_session_is_worthless_in_another(sender: Sender, browser: FlaskClient) -> None:
    of_boss = log_in(sender.app.test_client(), "boss").json["csrf_token"]
    log_in(browser)
    assert browser.post(SYNC, json={"mode": "full"}, headers={"X-CSRF-Token": of_boss}).status_code == 403


def test_a_form_of_another_site_cannot_log_somebody_in(browser: FlaskClient) -> None:
    form = {"name": "ali", "password": PASSWORD}
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        assert (
            browser.post(
                SESSION, data=form if "text" not in content_type else str(form), content_type=content_type
            ).status_code
            == 422
        )


def test_a_wrong_key_is_never_made_up_for_by_a_session(browser: FlaskClient) -> None:
    log_in(browser)
    assert browser.get(SESSION, headers={"Authorization": "Bearer wrong"}).status_code == 401


LOGIN, DOCS = "/api/tds/login", "/api/tds/docs"
#: As Chromium asks.
WANTS_PAGES = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
}


def test_a_browser_is_led_to_the_form_and_back(browser: FlaskClient) -> None:
    sent = browser.get(DOCS, headers=WANTS_PAGES)
    assert (sent.status_code, sent.headers["Location"]) == (303, f"{LOGIN}?next={DOCS}")
    assert f'value="{DOCS}"' in browser.get(sent.headers["Location"]).text
    wrong = browser.post(LOGIN, data={"name": "ali", "password": "wrong", "next": DOCS})
    assert (wrong.status_code, "Wrong name or password" in wrong.text) == (401, True)
    back = browser.post(LOGIN, data={"name": "ali", "password": PASSWORD, "next": DOCS})
    assert (back.status_code, back.headers["Location"]) == (303, DOCS)
    assert browser.get(DOCS, headers=WANTS_PAGES).status_code == 200


def test_programs_are_refused_and_led_nowhere(browser: FlaskClient) -> None:
    for headers in ({}, {"Accept": "application/json"}, {**WANTS_PAGES, "Authorization": "Bearer wrong"}):
        assert browser.get(DOCS, headers=headers).status_code == 401
    assert browser.post(SYNC, json={}, headers=WANTS_PAGES).status_code == 401


@pytest.mark.parametrize("following", [
    "https://evil.test", "//evil.test", "/api/tds//evil.test", "/api/tds/\\evil.test", "javascript:x", "/evil.test",
])  # fmt: skip
def test_nobody_is_led_elsewhere_after_the_log_in(browser: FlaskClient, following: str) -> None:
    back = browser.post(LOGIN, data={"name": "ali", "password": PASSWORD, "next": following})
    assert back.status_code == 303
    assert back.headers["Location"].startswith(("/api/tds/", "/dashboard"))
    assert "evil.test" not in back.headers["Location"].split("?")[0]


def test_another_sites_log_in_form_is_refused(browser: FlaskClient) -> None:
    form = {"name": "ali", "password": PASSWORD}
    for origin, status in (("https://evil.test", 403), ("null", 403), ("http://localhost", 303)):
        answer = browser.post(LOGIN, data=form, headers={"Origin": origin})
        assert answer.status_code == status, origin
        assert ("Set-Cookie" in answer.headers) == (status == 303)


def test_unknown_names_and_wrong_passwords_are_answered_alike(browser: FlaskClient) -> None:
    answers = [log_in(browser, name, password) for name, password in (("ali", "wrong"), ("eve", PASSWORD))]
    told = [{**answer.json, "correlation_id": ""} for answer in answers]
    assert (told[0], [answer.status_code for answer in answers]) == (told[1], [401, 401])


@pytest.fixture
def standing_time() -> Iterator[None]:
    """A clock that stands still: a window that slides on meanwhile would have forgotten one or two when it is full."""
    with time_machine.travel(datetime.now(UTC), tick=False):
        yield


@pytest.mark.usefixtures("standing_time")
def test_guessing_a_password_is_stopped_even_at_the_right_one(sender: Sender, browser: FlaskClient) -> None:
    statuses = [log_in(browser, "ali", f"guess {number}").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]
    stopped = log_in(browser)
    assert (stopped.status_code, stopped.json["code"]) == (429, "too_many_requests")
    assert int(stopped.headers["Retry-After"]) > 0
    assert log_in(browser, "boss").status_code == 201


@pytest.mark.usefixtures("standing_time")
def test_guessing_many_names_from_one_place_is_stopped(browser: FlaskClient) -> None:
    assert [log_in(browser, f"name{number}", "x").status_code for number in range(21)] == [401] * 20 + [429]


@pytest.mark.usefixtures("standing_time")
def test_guessing_keys_is_stopped(sender: Sender) -> None:
    client = sender.app.test_client()
    statuses = [client.get(SESSION, headers={"Authorization": f"Bearer x{n}"}).status_code for n in range(31)]
    assert statuses == [401] * 30 + [429]
    assert sender.get(SESSION).status_code == 200, "who has a key goes on"


def test_what_was_typed_as_a_name_is_not_kept(sender: Sender, browser: FlaskClient) -> None:
    log_in(browser, "my secret password", "ali")
    assert "secret" not in str(sender.rows("select * from tds_operator_actions"))
    assert recorded(sender) == [("session.log_in", "refused", "nobody", 401)]


def test_another_password_is_chosen_and_ends_the_session(sender: Sender, browser: FlaskClient) -> None:
    change = {"headers": {"X-CSRF-Token": log_in(browser).json["csrf_token"]}}
    path, new = f"{SESSION}/password", "another long password"
    assert browser.put(path, json={"current_password": "no", "new_password": new}, **change).status_code == 401
    assert browser.put(path, json={"current_password": PASSWORD, "new_password": "short"}, **change).status_code == 422
    assert browser.put(path, json={"current_password": PASSWORD, "new_password": new}, **change).status_code == 204
    assert browser.get(SESSION).status_code == 401
    assert log_in(browser, password=new).status_code == 201
    kept = str(sender.rows("select * from tds_operator_actions"))
    assert PASSWORD not in kept
    assert new not in kept


def test_a_key_has_no_password(sender: Sender) -> None:
    answer = sender.app.test_client().put(
        f"{SESSION}/password", json={"current_password": "x", "new_password": "y"}, headers=key_for(sender)
    )
    assert (answer.status_code, answer.json["code"]) == (409, "no_session")


def test_a_key_is_shown_once(sender: Sender) -> None:
    made = sender.post(KEYS, {"name": "erp", "role": "viewer", "scopes": ["entities"]})
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    key, prefix = made.json["key"], made.json["prefix"]
    assert key not in sender.get(KEYS, with_ended=True).text
    assert key.split("_")[2] not in str(sender.rows("select * from tds_operator_actions"))
    client, bearer = sender.app.test_client(), {"headers": {"Authorization": f"Bearer {key}"}}
    assert client.get("/api/tds/entities", **bearer).status_code == 200
    assert client.get("/api/tds/queue", **bearer).json["code"] == "forbidden"
    assert client.get(SESSION, **bearer).json["scopes"] == ["entities"]
    assert sender.app.test_client().delete(f"{KEYS}/{prefix}", headers=key_for(sender)).json["revoked_at"]
    refused = client.get("/api/tds/entities", **bearer)
    assert (refused.status_code, "revoked" in refused.json["detail"]) == (401, True)


def test_a_key_with_scopes_gives_nobody_more_than_it_has(sender: Sender) -> None:
    made = sender.post(KEYS, {"name": "hr", "role": "admin", "scopes": ["keys", "operators", "zoho"]})
    client, bearer = sender.app.test_client(), {"Authorization": f"Bearer {made.json['key']}"}
    for scopes in ([], ["queue"], ["zoho", "entities"]):
        body = {"name": "more", "role": "viewer", "scopes": scopes}
        assert client.post(KEYS, json=body, headers=bearer).json["code"] == "forbidden", scopes
    body = {"name": "less", "role": "viewer", "scopes": ["zoho/quota"]}
    assert client.post(KEYS, json=body, headers=bearer).status_code == 201
    for method, path in (("POST", OPERATORS), ("PATCH", f"{OPERATORS}/boss")):
        body = {"role": "admin"} if method == "PATCH" else {"name": "eve", "role": "admin"}
        assert client.open(path, method=method, json=body, headers=bearer).status_code == 403, method
    assert client.get(OPERATORS, headers=bearer).status_code == 200


@pytest.mark.parametrize("body", [
    {}, {"name": "x"}, {"name": "x", "role": "god"}, {"name": "x", "role": "viewer", "scopes": ["A B"]},
    {"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, {"name": "", "role": "viewer"},
    {"name": "x\u0000", "role": "viewer"},
])  # fmt: skip
def test_a_key_that_makes_no_sense_is_refused(sender: Sender, body: dict[str, Any]) -> None:
    answer = sender.post(KEYS, body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_arguments")


def test_an_administrator_makes_changes_and_disables_operators(sender: Sender, browser: FlaskClient) -> None:
    made = sender.post(OPERATORS, {"name": "Zoe", "role": "viewer"})
    assert made.status_code == 201
    assert log_in(browser, "zoe", made.json["password"]).json["role"] == "viewer"
    assert sender.post(OPERATORS, {"name": "zoe", "role": "viewer"}).json["code"] == "name_taken"
    admin, client = key_for(sender), sender.app.test_client()
    changed = client.patch(f"{OPERATORS}/zoe", json={"role": "operator", "new_password": True}, headers=admin).json
    assert (changed["role"], changed["password"] != made.json["password"]) == ("operator", True)
    assert client.delete(f"{OPERATORS}/zoe", headers=admin).json["disabled_at"]
    assert client.delete(f"{OPERATORS}/boss", headers=admin).json["code"] == "last_admin"
    assert [row["name"] for row in client.get(OPERATORS, headers=admin).json] == ["ali", "boss", "zoe"]
    assert "password" not in client.get(OPERATORS, headers=admin).json[0]


def test_every_action_is_written_down_with_what_came_of_it(sender: Sender) -> None:
    headers = {**key_for(sender, Role.OPERATOR), "X-Correlation-Id": "corr-7"}
    client = sender.app.test_client()
    client.post(SYNC, json={"mode": "targeted", "ids": ["1", "2"]}, headers=headers)
    client.post("/api/tds/runs/99/cancel", headers=headers)
    client.post(KEYS, json={"name": "x", "role": "admin"}, headers=headers)
    client.get("/api/tds/runs", headers=headers)
    page = sender.get(AUDIT, limit=10).json["items"]
    assert [(row["operation"], row["outcome"], row["status"], row["error"]) for row in page] == [
        ("keys.create", "refused", 403, "forbidden"),
        ("runs.cancel", "refused", 404, "not_found"),
        ("syncs.sync", "done", 202, None),
    ]
    done = page[2]
    assert (done["entity"], done["source_ids"], done["subject"]) == ("product", ["1", "2"], "sync/product")
    assert (done["correlation_id"], done["role"], done["remote_address"]) == ("corr-7", "operator", "127.0.0.1")
    assert {row["caller"] for row in page} == {f"key:{sender.rows('select prefix from tds_api_keys')[0][0]}"}
    assert len(sender.get(AUDIT, operation="runs.cancel").json["items"]) == 1


def test_an_action_is_written_down_before_it_is_done(sender: Sender) -> None:
    sender.post(SYNC, {"mode": "full"})
    assert recorded(sender) == [("syncs.sync", "begun", "token", None), ("syncs.sync", "done", "token", 202)]


def test_what_cannot_be_written_down_is_not_done(sender: Sender) -> None:
    with superuser(sender.engine) as session:
        session.execute(text("alter table tds_operator_actions rename to tds_away"))
    assert sender.post(SYNC, {"mode": "full"}).status_code == 500
    assert sender.count("tds_sync_runs") == 0


def test_a_flood_of_strangers_is_kept_only_so_far(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tds_api.auth.middleware.REFUSED_PER_MINUTE", 10_000)
    for _ in range(80):
        assert sender.app.test_client().post(SYNC, json={}).status_code == 401
    assert 60 <= sender.count("tds_operator_actions") < 75


def twice(
    sender: Sender, key: str, path: str, *bodies: Any, headers: dict[str, str] | None = None
) -> list[TestResponse]:
    params = {**(headers or {"Authorization": f"Bearer {TOKEN}"}), "Idempotency-Key": key}
    return [sender.app.test_client().post(path, json=body, headers=params) for body in bodies]


def test_a_request_sent_twice_is_done_once_and_answered_alike(sender: Sender) -> None:
    body = {"mode": "targeted", "ids": ["1"]}
    first, second = twice(sender, "k1", SYNC, body, body)
    assert (first.status_code, first.data) == (second.status_code, second.data)
    assert (second.headers["Idempotent-Replayed"], "Idempotent-Replayed" in first.headers) == ("true", False)
    assert sender.count("tds_sync_runs") == 1
    assert len(recorded(sender)) == 2


def test_a_key_of_another_request_is_refused(sender: Sender) -> None:
    first, second = twice(sender, "k1", SYNC, {"mode": "full"}, {"mode": "incremental"})
    assert (first.status_code, second.status_code, second.json["code"]) == (202, 422, "idempotency_key_reused")
    [other] = twice(sender, "k1", SYNC, {"mode": "incremental"}, headers=key_for(sender))
    assert other.status_code == 202, "another caller's keys are their own"


def test_a_request_that_is_still_being_answered_is_not_done_again(sender: Sender) -> None:
    twice(sender, "k1", SYNC, {"mode": "full"})
    with sender.engine.begin() as connection:
        connection.execute(text("update tds_kept_answers set status = null"))
    [answer] = twice(sender, "k1", SYNC, {"mode": "full"})
    assert (answer.status_code, answer.json["code"]) == (409, "request_in_progress")


def test_a_secret_is_not_kept_for_a_repeated_request(sender: Sender) -> None:
    body = {"name": "erp", "role": "viewer"}
    first, second = twice(sender, "k1", KEYS, body, body)
    assert (second.status_code, second.json["code"]) == (409, "answer_not_kept")
    assert sender.count("tds_api_keys") == 1
    assert first.json["key"] not in str(sender.rows("select * from tds_kept_answers"))


def test_a_streamed_body_is_still_whole_under_a_key(sender: Sender) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k1"}
    line = b'{"entity_type": "product", "entity_id": "1", "error": "x", "payload": {}}\n'
    plain = sender.app.test_client().post(
        "/api/tds/dead-letter/import", data=line, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    keyed = sender.app.test_client().post("/api/tds/dead-letter/import", data=line, headers=headers)
    assert (plain.status_code, keyed.status_code) == (200, 200)
    assert sum(keyed.json[name] for name in keyed.json if isinstance(keyed.json[name], int)) == sum(
        plain.json[name] for name in plain.json if isinstance(plain.json[name], int)
    )


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 201])
def test_a_key_that_is_none_is_refused(sender: Sender, key: str) -> None:
    [answer] = twice(sender, key, SYNC, {"mode": "full"})
    assert (answer.status_code, sender.count("tds_sync_runs")) == (422, 0)


def test_limits_are_reported_and_kept(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_REQUESTS_PER_MINUTE="3") as sender:
        answers = [sender.get("/api/tds/queue") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert (answers[0].headers["RateLimit-Limit"], answers[0].headers["RateLimit-Policy"]) == ("3", "3;w=60")
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
        other = sender.app.test_client().get("/api/tds/queue", headers=key_for(sender))
        assert other.status_code == 200, "one caller's haste is not another's"


def test_an_address_is_limited_whatever_it_presents(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_ADDRESS_REQUESTS_PER_MINUTE="2", TDS_PROXIES="1") as sender:

        def ask(forwarded: str) -> int:
            headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": forwarded}
            return sender.app.test_client().get("/api/tds/queue", headers=headers).status_code

        assert [ask("9.9.9.9"), ask("1.1.1.1, 9.9.9.9"), ask("9.9.9.9")] == [200, 200, 429]
        assert ask("9.9.9.9, 8.8.8.8") == 200
        assert sender.app.test_client().get("/healthz").status_code == 200


def test_without_proxies_nobody_chooses_an_address(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_ADDRESS_REQUESTS_PER_MINUTE="1") as sender:
        asked = [
            sender.app.test_client().get("/api/tds/queue", headers={"X-Forwarded-For": each}).status_code
            for each in ("1.1.1.1", "2.2.2.2")
        ]
        assert asked == [401, 429]


def test_all_processes_count_together_in_redis_and_alone_without_it(redis_url: str) -> None:
    one, other, lonely = RateLimiter(redis_url), RateLimiter(redis_url), RateLimiter("redis://127.0.0.1:1/0")
    assert [each.take(per_minute(2), "caller", "x").is_over for each in (one, other, one)] == [False, False, True]
    assert [lonely.take(per_minute(2), "caller", "x").is_over for _ in range(3)] == [False, False, True]
    assert REST_SECONDS >= 1


def test_the_webhook_route_is_not_counted(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_ADDRESS_REQUESTS_PER_MINUTE="1", TDS_REQUESTS_PER_MINUTE="1") as sender:
        assert [sender.send(b'{"item": {"item_id": "%d"}}' % n).status_code for n in range(5)] == [202] * 5
