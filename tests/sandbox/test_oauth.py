"""The accounts server keeps Zoho's promises and breaks the same ones."""

from urllib.parse import parse_qs, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.sandbox.conftest import ORG, SMALL, TurnableClock
from zoho_sandbox.sandbox import Sandbox

CLIENT = {"client_id": SMALL.client_id, "client_secret": SMALL.client_secret}


def refresh(client: FlaskClient, **changed: str) -> TestResponse:
    body = {"grant_type": "refresh_token", "refresh_token": SMALL.refresh_token, **CLIENT, **changed}
    return client.post("/oauth/v2/token", data=body)


def status_with(client: FlaskClient, token: str) -> int:
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    return client.get("/books/v3/items", query_string={"organization_id": ORG}, headers=headers).status_code


def test_a_refresh_gives_a_bearer_token_for_an_hour_and_no_new_refresh_token(client: FlaskClient) -> None:
    body = refresh(client).json
    assert set(body) == {"access_token", "api_domain", "token_type", "expires_in", "scope"}
    assert (body["expires_in"], body["api_domain"], body["token_type"]) == (3600, "http://localhost", "Bearer")
    assert status_with(client, body["access_token"]) == 200


def test_credentials_are_taken_from_the_query_too(client: FlaskClient) -> None:
    asked = {"grant_type": "refresh_token", "refresh_token": SMALL.refresh_token, **CLIENT}
    assert "access_token" in client.post("/oauth/v2/token", query_string=asked).json


def test_wrong_credentials_are_reported_with_http_200(client: FlaskClient) -> None:
    for changed, error in (
        ({"refresh_token": "1000.nothing"}, "invalid_code"),
        ({"client_id": "1000.OTHER"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client_secret"),
        ({"grant_type": "authorization_code", "code": "1000.nothing"}, "invalid_code"),
        ({"grant_type": "password"}, "general_error"),
    ):
        answer = refresh(client, **changed)
        assert (answer.status_code, answer.json) == (200, {"error": error})


def test_the_eleventh_token_in_ten_minutes_is_denied_until_the_window_ends(
    client: FlaskClient, turnable: TurnableClock
) -> None:
    assert all("access_token" in refresh(client).json for _ in range(10))
    denied = refresh(client)
    assert denied.status_code == 400
    assert (denied.json["error"], denied.json["status"]) == ("Access Denied", "failure")
    turnable.added_seconds = 590
    assert refresh(client).status_code == 400
    turnable.added_seconds = 601
    assert "access_token" in refresh(client).json


def test_the_thirty_first_living_token_kills_the_oldest(client: FlaskClient, sandbox: Sandbox) -> None:
    sandbox.set_limits({"token_refreshes": 0})
    tokens = [refresh(client).json["access_token"] for _ in range(31)]
    assert [status_with(client, tokens[0]), status_with(client, tokens[1])] == [401, 200]


def test_a_token_ends_after_its_hour(client: FlaskClient, turnable: TurnableClock) -> None:
    token = refresh(client).json["access_token"]
    turnable.added_seconds = 3601
    assert status_with(client, token) == 401


def test_a_code_is_exchanged_once_and_brings_a_refresh_token(client: FlaskClient) -> None:
    asked = {
        "response_type": "code",
        "client_id": SMALL.client_id,
        "redirect_uri": "https://erp.test/callback",
        "scope": "ZohoBooks.fullaccess.all",
        "access_type": "offline",
        "state": "s1",
    }
    sent_to = client.get("/oauth/v2/auth", query_string=asked).headers["Location"]
    back = {key: values[0] for key, values in parse_qs(urlsplit(sent_to).query).items()}
    assert (back["location"], back["accounts-server"], back["state"]) == ("us", "http://localhost", "s1")
    wanted = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": asked["redirect_uri"], **CLIENT}
    first = client.post("/oauth/v2/token", data=wanted).json
    assert "access_token" in refresh(client, refresh_token=first["refresh_token"]).json
    assert client.post("/oauth/v2/token", data=wanted).json == {"error": "invalid_code"}


def test_a_scope_of_one_product_does_not_open_the_other(client: FlaskClient, sandbox: Sandbox) -> None:
    code = sandbox.accounts.authorize("ZohoInventory.items.READ", "https://erp.test/", False)
    token, refresh_token = sandbox.accounts.exchange(code, "https://erp.test/")
    assert refresh_token is None
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    inventory = client.get("/inventory/v1/items", query_string={"organization_id": ORG}, headers=headers)
    assert (inventory.status_code, status_with(client, token)) == (200, 401)


def test_a_revoked_refresh_token_takes_its_access_tokens_along(client: FlaskClient) -> None:
    token = refresh(client).json["access_token"]
    client.post("/oauth/v2/token/revoke", query_string={"token": SMALL.refresh_token})
    assert status_with(client, token) == 401
    assert refresh(client).json == {"error": "invalid_code"}


def test_serverinfo_lists_where_the_data_centres_are(client: FlaskClient) -> None:
    assert client.get("/oauth/serverinfo").json["locations"]["us"] == "http://localhost"


def test_a_scope_opens_its_own_module_and_no_other(client: FlaskClient, sandbox: Sandbox) -> None:
    code = sandbox.accounts.authorize("ZohoBooks.invoices.READ ZohoBooks.settings.ALL", "https://erp.test/", False)
    token, _ = sandbox.accounts.exchange(code, "https://erp.test/")
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    answers = {
        path: client.get(f"/books/v3/{path}", query_string={"organization_id": ORG}, headers=headers).status_code
        for path in ("invoices", "users", "organizations", "bills", "contacts", "salesorders")
    }
    assert [path for path, status in answers.items() if status == 200] == ["invoices", "users", "organizations"]


def test_the_scopes_granted_are_reported_unless_that_is_switched_off(client: FlaskClient, sandbox: Sandbox) -> None:
    assert refresh(client).json["scope"] == "ZohoBooks.fullaccess.all ZohoInventory.fullaccess.all"
    sandbox.set_limits({"token_scope": False})
    assert "scope" not in refresh(client).json


def test_the_token_endpoint_answers_what_was_appointed_and_then_for_itself(client: FlaskClient) -> None:
    client.post("/_control/token-answers", json={"body": '{"error":"general_error"}', "count": 2})
    assert [refresh(client).json.get("error") for _ in range(3)] == ["general_error", "general_error", None]
    client.post("/_control/token-answers", json={"body": "<html>", "status": 503, "count": 0})
    assert [refresh(client).status_code for _ in range(3)] == [503] * 3
    client.delete("/_control/token-answers")
    assert "access_token" in refresh(client).json


def test_a_module_may_be_refused_by_switch(client: FlaskClient) -> None:
    token = refresh(client).json["access_token"]
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}

    def asked(path: str) -> tuple[int, int]:
        answer = client.get(f"/books/v3/{path}", query_string={"organization_id": ORG}, headers=headers)
        return answer.status_code, answer.json["code"]

    for kind, prefix in (("unauthorized", "bills"), ("not_associated", "invoices")):
        client.post("/_control/fault-once", json={"kind": kind, "path_prefix": f"/books/v3/{prefix}", "count": 0})
    assert [asked(path) for path in ("bills", "invoices", "contacts")] == [(401, 57), (400, 6041), (200, 0)]
