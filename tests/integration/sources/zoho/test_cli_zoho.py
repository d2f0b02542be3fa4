"""`tds zoho`: a code becomes a connection that is kept encrypted, and every refusal says what to do."""

import os
import re
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography.fernet import Fernet

from tds_api.cli import zoho
from tds_core.data_centers import DATA_CENTERS
from tds_core.sources.zoho.organization_connection import data_center_of
from tds_local.embedded.readiness import choose_port
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.delenv("ZOHO_REFRESH_TOKEN")
    return CommandLine(monkeypatch, capsys)


def self_client_code(standin: StandIn) -> str:
    return standin.sandbox.accounts.authorize("ZohoBooks.fullaccess.all,ZohoInventory.FullAccess.all", "", True)


def test_a_self_clients_code_connects_and_its_token_is_kept_encrypted(
    tds: CommandLine, synced: World, standin: StandIn
) -> None:
    said = tds("zoho", "connect", "--code", self_client_code(standin))
    assert said.exit_code == 0, said.errors
    assert standin.sandbox.settings.organization_name in said.out
    kept = bytes(synced.value("select refresh_token from tds_source_tokens"))
    assert kept.startswith(b"gAAAA")
    assert tds("zoho", "status").exit_code == 0


def test_the_organisations_time_zone_is_the_installations_unless_somebody_chose_one(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Asia/Baghdad" in tds("config", "set", "TDS_TIME_ZONE", "Asia/Baghdad").out
    assert "timetable's night" not in tds("zoho", "connect", "--code", self_client_code(standin)).out
    synced.execute("alter table tds_configuration disable trigger user")
    synced.execute("delete from tds_configuration")
    synced.execute("alter table tds_configuration enable trigger user")
    monkeypatch.setenv("TDS_TIME_ZONE", "Europe/Berlin")
    assert "timetable's night" not in tds("zoho", "connect", "--code", self_client_code(standin)).out
    monkeypatch.delenv("TDS_TIME_ZONE")
    said = tds("zoho", "connect", "--code", self_client_code(standin))
    assert "timetable's night are Asia/Baghdad's" in said.out
    [kept] = synced.rows("select value, changed_by, reason from tds_configuration")
    assert kept == {"value": "Asia/Baghdad", "changed_by": "tds", "reason": "the connected organisation's"}
    assert "timetable's night" not in tds("zoho", "connect", "--code", self_client_code(standin)).out, "a second time"


def test_a_used_up_code_says_what_to_do(tds: CommandLine, synced: World) -> None:
    said = tds("zoho", "connect", "--code", "1000.used.up")
    assert said.exit_code == 1
    assert "tds zoho connect" in said.errors
    assert synced.value("select count(*) from tds_source_tokens where refresh_token is not null") == 0


def test_a_wrong_client_secret_is_named(tds: CommandLine, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", "wrong")
    said = tds("zoho", "connect", "--code", self_client_code(standin))
    assert (said.exit_code, "ZOHO_CLIENT" in said.errors) == (1, True)


def test_a_missing_client_is_asked_for_by_name(tds: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOHO_CLIENT_ID")
    said = tds("zoho", "connect", "--code", "x")
    assert (said.exit_code, "ZOHO_CLIENT_ID" in said.errors) == (2, True)


def test_another_organisation_than_the_one_set_is_reported(
    tds: CommandLine, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_ORGANIZATION_ID", "1")
    said = tds("zoho", "connect", "--code", self_client_code(standin))
    assert (said.exit_code, standin.sandbox.settings.organization_id in said.errors) == (1, True)
    assert "tds zoho connect" in tds("zoho", "status").out, "and nothing was kept"


def test_the_consent_page_connects_through_a_page_of_this_machine(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    port = choose_port(tmp_path / "port")
    visitor = visiting(standin, port, lambda answer: answer.replace(f"accounts-server={_quoted(standin)}", ""))
    said = tds("zoho", "connect", "--browser", "--port", str(port))
    visitor.join()
    assert said.exit_code == 0, said.errors
    assert synced.value("select count(*) from tds_source_tokens where refresh_token is not null") == 1


def test_an_answer_with_another_state_is_refused(tds: CommandLine, standin: StandIn, tmp_path: object) -> None:
    port = choose_port(tmp_path / "port")
    visitor = visiting(standin, port, lambda answer: re.sub("state=[^&]*", "state=forged", answer))
    said = tds("zoho", "connect", "--browser", "--port", str(port))
    visitor.join()
    assert (said.exit_code, "state" in said.errors) == (1, True)


def test_consent_of_another_data_centre_is_redeemed_there_and_refreshed_there(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    elsewhere = standin.url.replace("127.0.0.1", "localhost")
    monkeypatch.setitem(DATA_CENTERS, "eu", (elsewhere, elsewhere))
    port = choose_port(tmp_path / "port")
    visitor = visiting(standin, port, lambda answer: answer.replace("127.0.0.1", "localhost"))
    said = tds("zoho", "connect", "--browser", "--port", str(port))
    visitor.join()
    assert said.exit_code == 0, said.errors
    assert synced.value("select accounts_url from tds_source_tokens") == elsewhere
    synced.execute("update tds_source_tokens set expires_at = now()")
    assert tds("zoho", "status").exit_code == 0


def test_consent_of_a_server_that_is_not_zohos_is_refused_and_never_sees_the_secret(
    tds: CommandLine, standin: StandIn, tmp_path: object
) -> None:
    port = choose_port(tmp_path / "port")
    visitor = visiting(standin, port, lambda answer: answer.replace(_quoted(standin), "http%3A%2F%2Fevil.test"))
    said = tds("zoho", "connect", "--browser", "--port", str(port))
    visitor.join()
    assert (said.exit_code, "none of Zoho's" in said.errors) == (1, True)
    assert standin.token_call_count == 0


def test_a_key_is_rotated_without_a_new_connection(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tds("zoho", "connect", "--code", self_client_code(standin))
    monkeypatch.setenv("TDS_SECRET_KEY_PREVIOUS", os.environ["TDS_SECRET_KEY"])
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    said = tds("zoho", "rotate-key")
    assert (said.exit_code, "2 stored tokens" in said.out) == (0, True), said.errors
    monkeypatch.delenv("TDS_SECRET_KEY_PREVIOUS")
    synced.execute("update tds_source_tokens set expires_at = now()")
    assert tds("zoho", "status").exit_code == 0
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    said = tds("zoho", "rotate-key")
    assert (said.exit_code, "TDS_SECRET_KEY_PREVIOUS" in said.errors) == (2, True)


def test_nobody_coming_back_is_reported(tds: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(zoho, "CONSENT_WITHIN_SECONDS", 0.6)
    said = tds("zoho", "connect", "--browser", "--port", str(choose_port(tmp_path / "port")))
    assert (said.exit_code, "Try again" in said.errors) == (1, True)


def test_status_without_a_connection_says_how_to_make_one(tds: CommandLine) -> None:
    said = tds("zoho", "status")
    assert said.exit_code == 1
    assert "tds zoho connect" in said.out


def test_each_data_centre_is_known_by_its_accounts_address() -> None:
    assert len(DATA_CENTERS) == 10
    assert {data_center_of(f"{accounts}/") for accounts, _ in DATA_CENTERS.values()} == set(DATA_CENTERS)


def visiting(standin: StandIn, port: int, altered: Callable[[str], str]) -> threading.Thread:
    """Somebody who gives consent and is sent back to the page, by an address that may be altered on the way."""
    state = threading.Event()

    def visit() -> None:
        page = waiting_page()
        query = {
            "response_type": "code", "client_id": standin.sandbox.settings.client_id, "access_type": "offline",
            "redirect_uri": page.redirect_uri, "state": page.state, "scope": "ZohoBooks.fullaccess.all",
        }  # fmt: skip
        sent = requests.get(f"{standin.url}/oauth/v2/auth", params=query, allow_redirects=False, timeout=5)
        where = urlsplit(altered(sent.headers["Location"]))
        assert parse_qs(where.query)
        requests.get(f"http://127.0.0.1:{port}{where.path}?{where.query}", timeout=5)

    thread = threading.Thread(target=visit)
    thread.start()
    state.set()
    return thread


def waiting_page() -> object:
    """The page the command has made, once it has."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if PAGES:
            return PAGES.pop()
        time.sleep(0.02)
    raise AssertionError("no page was made")


PAGES: list[object] = []


@pytest.fixture(autouse=True)
def _remembered_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    made = zoho.CallbackPage

    def make(port: int) -> object:
        PAGES.append(made(port))
        return PAGES[-1]

    monkeypatch.setattr(zoho, "CallbackPage", make)


def _quoted(standin: StandIn) -> str:
    return requests.utils.quote(standin.url, safe="")
