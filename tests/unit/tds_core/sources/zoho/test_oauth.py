"""The token endpoint hides errors in good answers: the body decides, and says how to mend it."""

from typing import Any

import msgspec
import pytest

from tds_core.errors import AuthError, RateError, SourceError, TransientError
from tds_core.sources.zoho.oauth import SCOPES, Grant, OAuthClient, read_grant


def granted(body: Any, status: int = 200) -> Grant:
    return read_grant(status, body if isinstance(body, bytes) else msgspec.json.encode(body))


def test_a_grant_is_read_with_its_lifetime_and_host() -> None:
    body = {"access_token": "a", "expires_in": 3600, "api_domain": "https://www.zohoapis.eu", "token_type": "Bearer"}
    assert granted(body) == Grant("a", 3600.0, "https://www.zohoapis.eu", None)


def test_the_old_spelling_of_the_lifetime_is_read_too() -> None:
    assert granted({"access_token": "a", "expires_in_sec": 3600, "expires_in": 3600000}).lifetime_seconds == 3600


def test_a_code_brings_a_refresh_token_as_well() -> None:
    assert granted({"access_token": "a", "refresh_token": "r"}).refresh_token == "r"


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("error", ["invalid_code", "invalid_client", "invalid_client_secret", "invalid_redirect_uri"])
def test_a_lasting_refusal_is_one_whatever_the_status_says(error: str, status: int) -> None:
    with pytest.raises(AuthError, match=error):
        granted({"error": error}, status)


@pytest.mark.parametrize("status", [200, 400])
def test_too_many_tokens_block_the_endpoint_for_ten_minutes(status: int) -> None:
    with pytest.raises(RateError) as caught:
        granted({"error": "Access Denied", "error_description": "too many requests"}, status)
    assert caught.value.after_seconds == 600


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((b"<html>", 502), (b"<html>", 200), (b"", 200), (b"null", 200), (b"[]", 200), ({}, 200), ({}, 500)),
        *(({"error": "general_error"}, 200), ({"error": "new_kind"}, 400), ({"error": {"code": 7}}, 200)),
        *(({"access_token": 7}, 200), ({"access_token": ""}, 200), ({"status": "failure"}, 401)),
    ],
)
def test_no_grant_and_no_known_reason_may_pass(body: Any, status: int) -> None:
    with pytest.raises(TransientError, match=str(status)):
        granted(body, status)


def test_a_limit_says_until_when() -> None:
    with pytest.raises(RateError, match=r"none until \d\d:\d\d:\d\d UTC"):
        granted({"error": "Access Denied"}, 400)
    with pytest.raises(RateError) as caught:
        granted(b"<html>slow down</html>", 429)
    assert 0 < caught.value.after_seconds <= 60


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 3_600_000}, 3600),
        ({"expires_in": 3_600_000, "expires_in_sec": 3600}, 3600),
        ({"expires_in_sec": None, "expires_in": 1800}, 1800),
        *(({"expires_in": unfit}, 3600) for unfit in (0, None, "abc", -5, "nan", [], {})),
        ({"expires_in": 5}, 600),
        ({"expires_in": 10**12}, 86_400),
    ],
)
def test_a_lifetime_is_believed_when_it_can_be_one(told: dict[str, Any], seconds: float) -> None:
    assert granted({"access_token": "a", **told}).lifetime_seconds == seconds


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("https://www.zohoapis.eu/", "https://www.zohoapis.eu"),
        *((unfit, None) for unfit in ("", None, "www.zohoapis.eu", 7, "ftp://x", "https://")),
    ],
)
def test_an_api_address_is_taken_when_it_is_one(told: Any, address: str | None) -> None:
    assert granted({"access_token": "a", "api_domain": told}).api_url == address


@pytest.mark.parametrize(
    ("told", "scopes"),
    [
        ("ZohoBooks.bills.READ ZohoBooks.contacts.READ", ("ZohoBooks.bills.READ", "ZohoBooks.contacts.READ")),
        ("ZohoBooks.contacts.READ,ZohoBooks.bills.READ", ("ZohoBooks.bills.READ", "ZohoBooks.contacts.READ")),
        ("", None),
        (None, None),
        (["ZohoBooks.bills.READ"], None),
    ],
)
def test_what_was_granted_is_read_where_it_is_reported(told: Any, scopes: tuple[str, ...] | None) -> None:
    assert granted({"access_token": "a", "scope": told}).scopes == scopes


def test_no_answer_at_all_may_pass() -> None:
    client = OAuthClient("http://127.0.0.1:9", "id", "client-secret", timeout_seconds=0.2)
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/oauth/v2/token: no answer .*refused") as caught:
        client.refresh("refresh-secret")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(client)


def test_consent_is_asked_for_all_that_is_read_and_for_nothing_else() -> None:
    books = ("bills", "contacts", "creditnotes", "customerpayments", "invoices", "salesorders", "settings")
    inventory = ("inventoryadjustments", "items", "settings")
    named = [f"ZohoBooks.{each}" for each in books] + [f"ZohoInventory.{each}" for each in inventory]
    assert set(SCOPES) == {f"{name}.READ" for name in named}
