"""What is refused, is refused with Zoho's status, code and words."""

import threading
import time
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

from tests.sandbox.conftest import ORG, Caller, TurnableClock
from zoho_sandbox.sandbox import Sandbox


def told(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json["code"]


def test_no_token_is_14_and_a_dead_one_is_57(client: FlaskClient) -> None:
    asked = {"organization_id": ORG}
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Zoho-oauthtoken "}):
        answer = client.get("/books/v3/items", query_string=asked, headers=header)
        assert told(answer) == (401, 14)
        assert "X-Rate-Limit-Limit" not in answer.headers
    garbage = client.get("/books/v3/items", query_string=asked, headers={"Authorization": "Zoho-oauthtoken x"})
    assert told(garbage) == (401, 57)
    assert garbage.json["message"] == "You are not authorized to perform this operation"


def test_a_wrong_or_missing_organisation_is_400_and_only_the_list_of_them_needs_none(books: Caller) -> None:
    wrong = books("GET", "/items", organization_id="1")
    assert told(wrong) == (400, 6041)
    assert wrong.json["message"] == "This user is not associated with the CompanyID/CompanyName:1."
    assert told(books("GET", "/items", organization_id="")) == (400, 6041)
    organizations = books("GET", "/organizations", organization_id="")
    assert organizations.json["organizations"][0]["organization_id"] == ORG
    assert "page_context" not in organizations.json


def test_unknown_records_paths_and_broken_bodies_have_their_codes(books: Caller) -> None:
    assert told(books("GET", "/items/999")) == (404, 1002)
    assert books("GET", "/invoices/999").json["message"] == "Invoice does not exist."
    assert told(books("GET", "/elsewhere")) == (404, 5)
    broken = books.client.post(
        f"/books/v3/items?organization_id={ORG}",
        data='{"name": ',
        content_type="application/json",
        headers={"Authorization": f"Zoho-oauthtoken {books.token}"},
    )
    assert told(broken) == (400, 1038)
    assert told(books("GET", "/items", page="x")) == (400, 2)


def test_an_undecoded_plus_in_a_time_is_a_refused_space(books: Caller) -> None:
    path = f"/books/v3/items?organization_id={ORG}&last_modified_time=2026-01-01T00:00:00"
    headers = {"Authorization": f"Zoho-oauthtoken {books.token}"}
    assert told(books.client.get(path + "+0300", headers=headers)) == (400, 2)
    assert books.client.get(path + "%2B0300", headers=headers).status_code == 200


def test_the_hundred_and_first_call_of_a_minute_is_44_and_a_minute_later_all_is_well(
    books: Caller, sandbox: Sandbox, turnable: TurnableClock
) -> None:
    sandbox.set_limits({"calls_per_minute": 100})
    answers = [books("GET", "/organizations") for _ in range(101)]
    assert [told(answer) for answer in answers[-2:]] == [(200, 0), (429, 44)]
    assert "maximum number of requests per minute" in answers[-1].json["message"]
    assert "Retry-After" not in answers[-1].headers
    turnable.added_seconds = 61
    assert books("GET", "/organizations").status_code == 200


def test_the_daily_quota_is_45_by_product_until_midnight(
    books: Caller, inventory: Caller, sandbox: Sandbox, turnable: TurnableClock
) -> None:
    sandbox.set_limits({"calls_per_day": 3})
    first = books("GET", "/organizations")
    assert (first.headers["X-Rate-Limit-Limit"], first.headers["X-Rate-Limit-Remaining"]) == ("3", "2")
    assert 0 < int(first.headers["X-Rate-Limit-Reset"]) <= 86_400
    statuses = [books("GET", "/organizations").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = books("GET", "/organizations")
    assert told(refused) == (429, 45)
    assert refused.json["message"].endswith("maximum call rate limit of 3.")
    assert inventory("GET", "/organizations").status_code == 200
    turnable.added_seconds = 86_400
    books.token = sandbox.accounts.issue_freely()
    assert books("GET", "/organizations").status_code == 200


def test_calls_beyond_those_allowed_at_once_are_1070(
    books: Caller, sandbox: Sandbox, control: Callable[..., Any]
) -> None:
    sandbox.set_limits({"concurrent_calls": 1})
    control("POST", "/fault-once", {"kind": "delay", "seconds": 0.6})
    slow = threading.Thread(target=books, args=("GET", "/organizations"))
    slow.start()
    time.sleep(0.2)
    assert told(books("GET", "/organizations")) == (429, 1070)
    slow.join()
    assert books("GET", "/organizations").status_code == 200


def test_rate_limit_headers_can_be_left_out(books: Caller, sandbox: Sandbox) -> None:
    sandbox.set_limits({"rate_limit_headers": False, "calls_per_day": 50})
    assert "X-Rate-Limit-Limit" not in books("GET", "/organizations").headers
