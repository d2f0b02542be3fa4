"""The client promises that one bad record is no reason to doubt another, and that only a 404 means gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses
from responses import matchers

from tds_core.errors import (
    AuthError,
    ContractError,
    PermanentError,
    PermissionMissingError,
    RateError,
    TransientError,
    UnexpectedAnswerError,
)
from tds_core.queue.retry_policy import FailureHistory, RetryOutcome, decide_retry
from tds_core.sources.zoho.client import ZohoClient
from tds_core.sources.zoho.responses import OrganizationRefusedError
from tds_models.entities import ENTITIES
from tests.support.world import at

HOST = "https://api.test"
ITEMS = f"{HOST}/inventory/v1/items"
BATCH = f"{HOST}/inventory/v1/itemdetails"
INVOICES = f"{HOST}/books/v3/invoices"
PRODUCT, INVOICE = ENTITIES["product"].stream, ENTITIES["invoice"].stream


class Tokens:
    """Gives token 1, and the next one each time it is refused."""

    def __init__(self) -> None:
        self.number = 1

    def current(self) -> tuple[str, str]:
        return f"token-{self.number}", HOST

    def renew(self, refused: str) -> tuple[str, str]:
        assert refused == f"token-{self.number}"
        self.number += 1
        return self.current()

    def is_new(self, token: str) -> bool:
        return True


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def client(tokens: Tokens) -> ZohoClient:
    return ZohoClient(tokens, organization_id="42")


@pytest.fixture
def zoho() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def item(number: int) -> dict[str, Any]:
    return {"item_id": str(number), "name": f"Item {number}"}


def asked(zoho: responses.RequestsMock) -> list[str]:
    return [str(call.request.url).partition("?")[0] for call in zoho.calls]


def test_slow_answers_are_kept_and_the_rest_waits_its_turn(
    client: ZohoClient, zoho: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a worker whose time is up before the last answer would throw the others away, again and again."""
    monkeypatch.setattr("tds_core.sources.zoho.client.READ_SECONDS", -1)
    zoho.get(f"{INVOICES}/1", json={"invoice": {"invoice_id": "1"}})
    reading = client.read(INVOICE, ["1", "2", "3"])
    assert (list(reading.records), list(reading.failures), len(zoho.calls)) == (["1"], ["2", "3"], 1)
    for error in reading.failures.values():
        assert decide_retry(error, FailureHistory(1), max_attempts=8, jitter=0).outcome is RetryOutcome.SNOOZE


def test_many_records_are_read_in_one_call(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    zoho.get(BATCH, json={"items": [item(n) for n in range(100)]})
    reading = client.read(PRODUCT, [str(n) for n in range(100)])
    assert len(reading.records) == len(zoho.calls) * 100 == client.call_count * 100
    assert not reading.missing
    assert not reading.failures


def test_what_a_batch_leaves_out_is_asked_for_singly(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    zoho.get(BATCH, json={"items": [item(1)]})
    zoho.get(f"{ITEMS}/2", status=404, json={"code": 1002, "message": "Item does not exist."})
    zoho.get(f"{ITEMS}/3", status=404, json={"code": 5, "message": "Invalid URL Passed"})
    reading = client.read(PRODUCT, ["1", "2", "3"])
    assert set(reading.records) == {"1"}
    assert reading.missing == {"2"}
    assert isinstance(reading.failures["3"], ContractError)


def test_one_id_a_batch_refuses_costs_the_others_nothing(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    zoho.get(BATCH, status=400, json={"code": 2, "message": "Invalid value passed for item_ids"})
    zoho.get(f"{ITEMS}/1", json={"item": item(1)})
    zoho.get(f"{ITEMS}/bad", status=400, json={"code": 2, "message": "Invalid value passed for item_id"})
    reading = client.read(PRODUCT, ["1", "bad"])
    assert set(reading.records) == {"1"}
    assert isinstance(reading.failures["bad"], PermanentError)


def test_a_batch_that_fails_in_passing_is_not_asked_for_singly(
    client: ZohoClient, zoho: responses.RequestsMock
) -> None:
    zoho.get(BATCH, status=502, body="<html>")
    reading = client.read(PRODUCT, ["1", "2"])
    assert asked(zoho) == [BATCH]
    assert {type(error) for error in reading.failures.values()} == {TransientError}


def test_a_record_that_always_fails_costs_the_others_no_attempt(
    client: ZohoClient, zoho: responses.RequestsMock
) -> None:
    zoho.get(f"{INVOICES}/1", status=500, json={"code": 1000, "message": "Internal error"})
    zoho.get(f"{INVOICES}/0", json={"invoice": {"invoice_id": "0"}})
    reading = client.read(INVOICE, ["0", "1", "2", "3"])
    assert len(zoho.calls) == 2
    fates = {
        key: decide_retry(error, FailureHistory(9, 8, 10), max_attempts=8, jitter=0).outcome
        for key, error in reading.failures.items()
    }
    assert fates == {"1": RetryOutcome.DEAD, "2": RetryOutcome.SNOOZE, "3": RetryOutcome.SNOOZE}


def test_an_answer_about_another_record_costs_the_others_nothing(
    client: ZohoClient, zoho: responses.RequestsMock
) -> None:
    zoho.get(f"{INVOICES}/1", json={"code": 0, "invoice": {"invoice_id": "9"}})
    zoho.get(f"{INVOICES}/2", json={"code": 0, "message": "success"})
    zoho.get(f"{INVOICES}/3", json={"code": 9011, "message": "its sentence"})
    zoho.get(f"{INVOICES}/4", json={"code": 1002, "message": "Invoice does not exist."})
    zoho.get(f"{INVOICES}/5", json={"code": 0, "invoice": {"invoice_id": "5"}})
    reading = client.read(INVOICE, ["1", "2", "3", "4", "5"])
    assert (list(reading.records), reading.missing) == (["5"], {"4"})
    kinds = {key: type(error) for key, error in reading.failures.items()}
    assert kinds == {"1": UnexpectedAnswerError, "2": UnexpectedAnswerError, "3": PermanentError}
    assert "answered with 9" in str(reading.failures["1"])
    assert "its sentence" in str(reading.failures["3"])
    assert reading.exchanges["3"].code == 9011


def test_strangers_in_a_batch_are_left_out_and_who_is_missing_is_asked_for(
    client: ZohoClient, zoho: responses.RequestsMock
) -> None:
    zoho.get(BATCH, json={"code": 0, "items": [item(1), item(7), item(8)]})
    zoho.get(f"{ITEMS}/2", json={"code": 0, "item": item(2)})
    reading = client.read(PRODUCT, ["1", "2"])
    assert (set(reading.records), reading.failures) == ({"1", "2"}, {})


def test_a_limit_named_inside_a_good_answer_is_heeded(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    zoho.get(ITEMS, json={"code": 44, "message": "blocked for some time"})
    with pytest.raises(RateError, match="blocked for some time"):
        client.list_page(PRODUCT, since=None, page=1)


def test_a_source_that_wants_peace_is_left_alone_at_once(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    zoho.get(f"{INVOICES}/1", status=429, json={"code": 44, "message": "blocked for some time"})
    reading = client.read(INVOICE, ["1", "2"])
    assert len(zoho.calls) == 1
    assert all(
        decide_retry(e, FailureHistory(9, 8, 10), max_attempts=8, jitter=0).outcome is RetryOutcome.SNOOZE
        for e in reading.failures.values()
    )


def test_a_refused_token_is_renewed_once(client: ZohoClient, zoho: responses.RequestsMock, tokens: Tokens) -> None:
    fresh = matchers.header_matcher({"Authorization": "Zoho-oauthtoken token-2"})
    zoho.get(ITEMS, status=401, json={"code": 57, "message": "no"}, match=[matchers.header_matcher({"Authorization": "Zoho-oauthtoken token-1"})])  # fmt: skip  # noqa: E501
    zoho.get(ITEMS, json={"items": [item(1)]}, match=[fresh])
    assert len(client.list_page(PRODUCT, since=None, page=1).rows) == 1
    assert tokens.number == 2


def test_a_token_refused_twice_is_a_question_of_access(
    client: ZohoClient, zoho: responses.RequestsMock, tokens: Tokens
) -> None:
    zoho.get(ITEMS, status=401, json={"code": 57, "message": "You are not authorized"})
    with pytest.raises(AuthError, match="scopes"):
        client.list_page(PRODUCT, since=None, page=1)
    assert (tokens.number, len(zoho.calls)) == (2, 2)


def test_a_filter_the_source_ignored_is_noticed(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    zoho.get(ITEMS, json={"items": [{**item(1), "last_modified_time": at(-1).isoformat()}]})
    with pytest.raises(ContractError, match="the filter was ignored"):
        client.list_page(PRODUCT, since=at(0), page=1)


def test_a_list_is_asked_for_from_the_longest_unchanged_on(client: ZohoClient, zoho: responses.RequestsMock) -> None:
    wanted = {
        "organization_id": "42",
        "filter_by": "Status.All",
        "page": "3",
        "per_page": "200",
        "sort_column": "last_modified_time",
        "sort_order": "A",
        "last_modified_time": "2026-11-01T12:00:05+0000",
    }
    zoho.get(ITEMS, json={"items": []}, match=[matchers.query_param_matcher(wanted)])
    assert not client.list_page(PRODUCT, since=at(5), page=3).rows


@pytest.mark.parametrize("broken", [ConnectionError("refused"), TimeoutError("slow")])
def test_no_answer_may_pass(client: ZohoClient, zoho: responses.RequestsMock, broken: Exception) -> None:
    import requests

    zoho.get(ITEMS, body=requests.ConnectionError(str(broken)))
    with pytest.raises(TransientError, match="no answer") as caught:
        client.list_page(PRODUCT, since=None, page=1)
    assert "token-1" not in str(caught.value)


def test_a_proxy_of_the_environment_is_used_and_a_netrc_never_replaces_the_token(
    client: ZohoClient, zoho: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine api.test login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    zoho.get(ITEMS, json={"items": []})
    client.list_page(PRODUCT, since=None, page=1)
    [call] = zoho.calls
    assert call.request.headers["Authorization"] == "Zoho-oauthtoken token-1"
    assert call.request.req_kwargs["proxies"]["https"] == "http://proxy.test:3128"


NOT_ALLOWED = {"code": 57, "message": "You are not authorized to perform this operation"}
ELSEWHERE = {"code": 6041, "message": "This user is not associated with the CompanyID/CompanyName:42."}
ORGANIZATIONS = f"{HOST}/books/v3/organizations"


def refused(client: ZohoClient, *source_ids: str) -> list[tuple[type, str]]:
    reading = client.read(INVOICE, source_ids)
    return [(type(error), getattr(error, "source_id", "")) for error in reading.failures.values()]


@pytest.mark.parametrize(("listed", "kind"), [(["42"], PermissionMissingError), (["7"], OrganizationRefusedError)])
def test_an_organisation_that_is_listed_and_refused_is_a_matter_of_the_module(
    client: ZohoClient, zoho: responses.RequestsMock, listed: list[str], kind: type
) -> None:
    zoho.get(f"{INVOICES}/1", status=400, json=ELSEWHERE)
    zoho.get(INVOICES, status=400, json=ELSEWHERE)
    zoho.get(ORGANIZATIONS, json={"code": 0, "organizations": [{"organization_id": each} for each in listed]})
    assert refused(client, "1") == [(kind, "")]
    [asked] = [call for call in zoho.calls if "/organizations" in str(call.request.url)]
    assert "organization_id" not in str(asked.request.url)


@pytest.mark.parametrize("said", [NOT_ALLOWED, ELSEWHERE], ids=["57", "6041"])
def test_where_organisations_are_not_listed_what_was_read_before_tells_whether_the_token_lives(
    client: ZohoClient, zoho: responses.RequestsMock, said: dict[str, Any], tokens: Tokens
) -> None:
    zoho.get(ITEMS, json={"items": [item(1)]})
    client.list_page(PRODUCT, since=None, page=1)
    zoho.get(ORGANIZATIONS, status=404, json={"code": 5, "message": "Invalid URL Passed"})
    zoho.get(f"{INVOICES}/1", status=400, json=said)
    zoho.get(f"{INVOICES}/2", json={"invoice": {"invoice_id": "2"}})
    zoho.get(INVOICES, json={"invoices": []})
    assert refused(client, "1", "2") == [(PermissionMissingError, "1")]
    zoho.replace(responses.GET, INVOICES, status=400, json=said)
    assert refused(client, "1", "2") == [(PermissionMissingError, "")] * 2


def test_an_organisation_refused_by_all_calls_is_the_wrong_one(
    client: ZohoClient, zoho: responses.RequestsMock
) -> None:
    for address in (f"{INVOICES}/1", INVOICES, ITEMS, ORGANIZATIONS):
        zoho.get(address, status=400, json=ELSEWHERE)
    assert refused(client, "1") == [(OrganizationRefusedError, "")]


def test_a_batch_that_is_refused_for_one_record_is_read_one_by_one(
    client: ZohoClient, zoho: responses.RequestsMock
) -> None:
    zoho.get(BATCH, status=400, json=ELSEWHERE)
    zoho.get(ORGANIZATIONS, json={"code": 0, "organizations": [{"organization_id": "42"}]})
    zoho.get(ITEMS, json={"items": []})
    zoho.get(f"{ITEMS}/1", status=400, json=ELSEWHERE)
    zoho.get(f"{ITEMS}/2", json={"item": item(2)})
    reading = client.read(PRODUCT, ["1", "2"])
    assert (list(reading.records), list(reading.failures)) == (["2"], ["1"])
