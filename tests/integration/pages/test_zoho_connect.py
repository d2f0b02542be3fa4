"""The page that connects the organisation: who may use it, the way to Zoho and back, and what it says of failures."""

import html
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from cryptography.fernet import Fernet
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from tds_core.crypto import Vault
from tds_core.data_centers import DATA_CENTERS
from tests.support.standin import StandIn
from tests.support.webhook_sender import TOKEN, Sender, sender_for

START, CALLBACK = "/api/tds/zoho/oauth/start", "/api/tds/zoho/oauth/callback"
KEY = Fernet.generate_key().decode()


@dataclass
class Browser:
    """A browser with its cookies, at the page."""

    client: FlaskClient
    seen: list[str] = field(default_factory=list)

    def see(self, answer: TestResponse) -> str:
        self.seen.append(answer.text)
        return html.unescape(answer.text)

    def log_in(self, token: str = TOKEN) -> TestResponse:
        return self.client.post(START, data={"token": token})

    def press(self, data_center: str = "us") -> TestResponse:
        key = re.search(r'name="form_key" value="([^"]+)"', self.client.get(START).text)
        return self.client.post(START, data={"form_key": key[1] if key else "", "data_center": data_center})

    def consent(self, **press: str) -> dict[str, str]:
        """Press the button, accept at Zoho; what Zoho sends back along."""
        sent_to = html.unescape(re.search(r'href="(http[^"]+/oauth/v2/auth[^"]+)"', self.press(**press).text)[1])
        answer = requests.get(sent_to, allow_redirects=False, timeout=5)
        where = urlsplit(answer.headers["Location"])
        assert where.path == CALLBACK
        return {name: values[0] for name, values in parse_qs(where.query).items()}

    def come_back(self, answer: dict[str, str]) -> str:
        """Follow Zoho back; the page that is then seen."""
        sent_on = self.client.get(f"{CALLBACK}?{urlencode(answer)}")
        assert (sent_on.status_code, sent_on.headers["Location"]) == (303, START)
        return self.see(self.client.get(START))


@pytest.fixture
def settings(standin: StandIn) -> dict[str, str]:
    params = {**standin.settings, "TDS_SECRET_KEY": KEY}
    del params["ZOHO_REFRESH_TOKEN"]
    return params


@pytest.fixture
def sender(database: str, engine: Engine, settings: dict[str, str]) -> Iterator[Sender]:
    with sender_for(database, engine, **settings) as sender:
        yield sender


@pytest.fixture
def browser(sender: Sender) -> Browser:
    browser = Browser(sender.app.test_client())
    browser.log_in()
    return browser


def kept(sender: Sender) -> Any:
    rows = sender.rows("select * from tds_source_tokens where refresh_token is not null")
    return rows[0] if rows else None


def test_an_administrator_connects_in_three_clicks(browser: Browser, sender: Sender, standin: StandIn) -> None:
    assert "not connected" in browser.client.get(START).text
    seen = browser.come_back(browser.consent())
    assert 'role="status"' in seen
    assert "Connected." in seen
    assert standin.sandbox.settings.organization_name in seen
    token = Vault(KEY).open(kept(sender).refresh_token)
    assert standin.sandbox.accounts.refresh(str(token))
    assert "Connected." not in browser.client.get(START).text, "news are told once"


def test_without_the_api_token_there_is_only_the_question_for_it(sender: Sender) -> None:
    stranger = sender.app.test_client()
    answer = stranger.get(START)
    assert (answer.status_code, "API token" in answer.text, "Organisation" in answer.text) == (401, True, False)
    refused = stranger.post(START, data={"token": "wrong"})
    assert (refused.status_code, "not the API token" in refused.text, "Set-Cookie" in refused.headers) == (
        401,
        True,
        False,
    )
    for form in ({}, {"data_center": "us"}, {"data_center": "us", "form_key": "guessed"}):
        assert stranger.post(START, data=form).status_code == 401
    assert sender.count("tds_consents") == 0
    assert stranger.get(START, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_without_a_configured_token_nobody_is_let_in(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_API_TOKEN="") as sender:
        client = sender.app.test_client()
        assert "TDS_API_TOKEN" in client.get(START).text
        assert client.post(START, data={"token": ""}).status_code == 401
        assert client.get(START, headers={"Authorization": "Bearer "}).status_code == 401


def test_another_sites_form_starts_nothing(browser: Browser, sender: Sender) -> None:
    assert browser.client.post(START, data={"data_center": "us"}).status_code == 401
    assert sender.count("tds_consents") == 0


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites_forms(sender: Sender) -> None:
    cookie = sender.app.test_client().post(START, data={"token": TOKEN}).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/api/tds/zoho/oauth"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    through_tls = sender.app.test_client().post(START, data={"token": TOKEN}, base_url="https://erp.example")
    assert "Secure" in through_tls.headers["Set-Cookie"]


def test_a_forged_cookie_opens_nothing(sender: Sender) -> None:
    client = sender.app.test_client()
    client.set_cookie("tds_admission", "ImZvcmdlZCI.aaaa.bbbb", path="/api/tds/zoho/oauth")
    assert client.get(START).status_code == 401


def test_no_page_runs_a_script_or_may_be_framed(browser: Browser, sender: Sender) -> None:
    for answer in (browser.client.get(START), browser.press(), sender.app.test_client().get(START)):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert (answer.headers["Referrer-Policy"], answer.headers["Cache-Control"]) == ("same-origin", "no-store")
        assert "<script" not in answer.text
        assert "style=" not in answer.text
    assert browser.client.get("/api/tds/static/pages.css").status_code == 200


@pytest.mark.parametrize("missing", ["ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "TDS_SECRET_KEY"])
def test_a_missing_setting_is_named_with_where_to_get_it(
    database: str, engine: Engine, settings: dict[str, str], missing: str
) -> None:
    with sender_for(database, engine, **{**settings, missing: ""}) as sender:
        browser = Browser(sender.app.test_client())
        browser.log_in()
        assert f"<code>{missing}</code>" in browser.client.get(START).text
        answer = browser.press()
        assert (answer.status_code, missing in answer.text) == (422, True)
        assert sender.count("tds_consents") == 0


def test_the_redirect_address_is_shown_as_others_reach_it(
    database: str, engine: Engine, settings: dict[str, str]
) -> None:
    with sender_for(database, engine, **settings, TDS_PUBLIC_URL="https://erp.example/") as sender:
        browser = Browser(sender.app.test_client())
        browser.log_in()
        assert f"https://erp.example{CALLBACK}" in browser.client.get(START).text
        assert urlencode({"redirect_uri": f"https://erp.example{CALLBACK}"}) in html.unescape(browser.press().text)


def test_each_data_centre_is_asked_at_its_own_accounts_server(browser: Browser) -> None:
    for name, (accounts, _) in DATA_CENTERS.items():
        if name != "us":  # which the settings lead to the stand-in
            assert f'href="{accounts}/oauth/v2/auth?' in browser.press(data_center=name).text
    assert browser.press(data_center="mars").status_code == 422


def test_write_access_is_asked_for_only_when_it_is_wished(browser: Browser) -> None:
    assert "settings.CREATE" not in re.search(r'href="(http[^"]+)"', browser.press().text)[1]
    key = re.search(r'name="form_key" value="([^"]+)"', browser.client.get(START).text)[1]
    wished = browser.client.post(START, data={"form_key": key, "data_center": "us", "webhooks": "yes"})
    for verb in ("CREATE", "UPDATE", "DELETE", "READ"):
        assert f"ZohoBooks.settings.{verb}" in html.unescape(wished.text)


def test_a_state_is_good_once_and_not_for_long(browser: Browser, sender: Sender, standin: StandIn) -> None:
    answer = browser.consent()
    assert "belongs to no request" in browser.come_back({**answer, "state": "guessed"})
    assert "Connected." in browser.come_back(answer)
    assert "belongs to no request" in browser.come_back(answer)
    late = browser.consent()
    with sender.engine.begin() as connection:
        connection.exec_driver_sql("update tds_consents set expires_at = now()")
    calls = standin.token_call_count
    assert "belongs to no request" in browser.come_back(late)
    assert "belongs to no request" in browser.come_back({})
    assert standin.token_call_count == calls
    assert sender.count("tds_consents") == 0


def test_a_refusal_at_zoho_is_reported_and_the_old_connection_stays(browser: Browser, sender: Sender) -> None:
    browser.come_back(browser.consent())
    before = kept(sender)
    state = browser.consent()["state"]
    seen = browser.come_back({"state": state, "error": "access_denied"})
    assert 'role="alert"' in seen
    assert "access_denied" in seen
    assert kept(sender) == before


def test_a_code_zoho_does_not_know_is_reported(browser: Browser, sender: Sender) -> None:
    seen = browser.come_back({**browser.consent(), "code": "1000.unknown"})
    assert "invalid_code" in seen
    assert kept(sender) is None


def test_what_an_answer_says_is_shown_as_text_only(browser: Browser) -> None:
    browser.come_back({"state": browser.consent()["state"], "error": "<img src=x onerror=alert(1)>"})
    assert "<img" not in browser.seen[-1]
    assert "&lt;img" in browser.seen[-1]


def test_an_accounts_server_that_is_not_zohos_never_sees_code_or_secret(
    browser: Browser, sender: Sender, standin: StandIn
) -> None:
    for server in (
        "https://accounts.zoho.com.evil.test",
        "http://169.254.169.254",
        "https://accounts.zoho.com@evil.test",
    ):
        assert "none of Zoho's" in browser.come_back({**browser.consent(), "accounts-server": server})
    assert standin.token_call_count == 0
    assert kept(sender) is None


def test_an_organisation_of_another_data_centre_is_connected_where_it_lives(
    browser: Browser, sender: Sender, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = standin.url.replace("127.0.0.1", "localhost")
    monkeypatch.setitem(DATA_CENTERS, "eu", (elsewhere, elsewhere))
    seen = browser.come_back({**browser.consent(), "accounts-server": elsewhere, "location": "eu"})
    assert "Connected." in seen
    assert kept(sender).accounts_url == elsewhere
    assert "<dd>eu</dd>" in seen


def test_an_organisation_that_cannot_be_reached_is_reported_and_nothing_is_kept(
    database: str, engine: Engine, settings: dict[str, str], standin: StandIn
) -> None:
    with sender_for(database, engine, **{**settings, "ZOHO_ORGANIZATION_ID": "1"}) as sender:
        browser = Browser(sender.app.test_client())
        browser.log_in()
        seen = browser.come_back(browser.consent())
        assert standin.sandbox.settings.organization_id in seen
        assert "ZOHO_ORGANIZATION_ID is 1" in seen
        assert kept(sender) is None


def test_without_a_chosen_organisation_it_connects_and_says_which_there_are(
    database: str, engine: Engine, settings: dict[str, str], standin: StandIn
) -> None:
    with sender_for(database, engine, **{**settings, "ZOHO_ORGANIZATION_ID": ""}) as sender:
        browser = Browser(sender.app.test_client())
        browser.log_in()
        seen = browser.come_back(browser.consent())
        assert standin.sandbox.settings.organization_id in seen
        assert kept(sender) is not None


def test_nothing_secret_is_left_in_pages_logs_or_addresses(
    browser: Browser, sender: Sender, standin: StandIn, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    with caplog.at_level(logging.DEBUG, logger="tds_api"), caplog.at_level(logging.INFO):
        answer = browser.consent()
        sent_on = browser.client.get(f"{CALLBACK}?{urlencode(answer)}")
        page = browser.client.get(START)
    vault, row = Vault(KEY), kept(sender)
    secrets = [
        answer["code"], standin.sandbox.settings.client_secret, TOKEN,
        vault.open(row.refresh_token), vault.open(row.access_token),
    ]  # fmt: skip
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("werkzeug")]
    written = "".join([*ours, *capfd.readouterr(), sent_on.text, str(sent_on.headers), page.text])
    for secret in secrets:
        assert secret not in written


def test_what_is_refused_is_shown_until_it_is_connected_again(browser: Browser, sender: Sender) -> None:
    browser.come_back(browser.consent())
    with sender.engine.begin() as connection:
        connection.exec_driver_sql(
            "update tds_source_tokens set refused_at = now(), refusal = 'token endpoint: invalid_code. Mend it.',"
            " paused_until = now() + interval '1 minute', pause_reason = 'auth_failed'"
        )
    assert "token endpoint: invalid_code" in browser.client.get(START).text
    assert "invalid_code" not in browser.come_back(browser.consent())


HOSTS_OF_THIS_MACHINE = ("http://localhost", "http://localhost:8800", "http://127.0.0.1:8800", "http://[::1]:8800")
HOSTS_OF_OTHERS = (
    "http://evil.example", "https://erp.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
    "http://10.0.0.5:8800", "http://127.0.0.1@evil.example",
)  # fmt: skip


def _asked_to_come_back(sender: Sender, base_url: str) -> str:
    """Where Zoho is asked to lead the browser back to, or why it is not asked."""
    client = sender.app.test_client()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = client.post(START, data={"data_center": "us"}, base_url=base_url, headers=headers)
    found = re.search(r'redirect_uri=([^&"]+)', html.unescape(answer.text))
    return parse_qs(f"u={found[1]}")["u"][0] if found else html.unescape(answer.text)


@pytest.fixture
def unset(database: str, engine: Engine, standin: StandIn) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_SECRET_KEY=KEY, **standin.settings) as sender:
        yield sender


def test_without_a_public_url_only_names_of_this_machine_are_believed(unset: Sender) -> None:
    for host in HOSTS_OF_THIS_MACHINE:
        assert _asked_to_come_back(unset, host) == f"{host}{CALLBACK}"
    for host in HOSTS_OF_OTHERS:
        said = _asked_to_come_back(unset, host)
        assert "set TDS_PUBLIC_URL" in said, host
        assert "oauth/v2/auth" not in said
        shown = unset.app.test_client().get(START, base_url=host, headers={"Authorization": f"Bearer {TOKEN}"}).text
        assert "set TDS_PUBLIC_URL" in shown
        assert "evil.example" not in shown and "/callback" not in shown


def test_the_public_url_counts_whatever_host_is_asked_for(database: str, engine: Engine, standin: StandIn) -> None:
    params = {"TDS_SECRET_KEY": KEY, **standin.settings, "TDS_PUBLIC_URL": "https://tds.example.com"}
    with sender_for(database, engine, **params) as sender:
        for host in (*HOSTS_OF_THIS_MACHINE, *HOSTS_OF_OTHERS):
            assert _asked_to_come_back(sender, host) == f"https://tds.example.com{CALLBACK}"


def test_what_may_not_be_read_and_what_was_not_granted_stand_on_the_page(browser: Browser, sender: Sender) -> None:
    browser.come_back(browser.consent())
    assert "Not granted" not in browser.client.get(START).text
    with sender.engine.begin() as connection:
        connection.exec_driver_sql("update tds_source_tokens set scopes = '{ZohoBooks.fullaccess.all}'")
        connection.exec_driver_sql(
            "insert into tds_missing_permissions (source, api, path, source_id, scope, says, paused_until)"
            " values ('zoho', 'books', 'bills', '', 'ZohoBooks.bills.READ', 'no', now())"
        )
    text = browser.client.get(START).text
    assert "ZohoInventory.items.READ</code> (product, stock_level)" in text
    assert "bills of Books (bill): add ZohoBooks.bills.READ" in text
