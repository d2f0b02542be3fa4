"""The description of the API allows what its routes take, and pages and answers say what browsers may make of them."""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.support.webhook_sender import Sender, sender_for

FILTERS = ("audit", "auto-healing/history", "dead-letter", "runs", "zoho/webhooks/recent", "zoho/webhooks/rejected")
#: Every one is a date-time of RFC 3339, which is what the description says.
MOMENTS = (
    "2026-11-28T12:00:00Z", "2026-11-28t12:00:00z", "2026-11-28T12:00:00.123456789+05:30", "2016-12-31T23:59:60Z",
    "0000-02-29T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-28T12:00:00-00:00",
)  # fmt: skip


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def parameters(sender: Sender, path: str) -> dict[str, Any]:
    described = sender.get("/api/tds/openapi.json").json["paths"][f"/api/tds/{path}"]["get"]["parameters"]
    return {each["name"]: each["schema"] for each in described if each["in"] == "query"}


@pytest.mark.parametrize("path", FILTERS)
def test_every_described_moment_is_taken(sender: Sender, path: str) -> None:
    moments = [name for name, schema in parameters(sender, path).items() if schema.get("format") == "date-time"]
    for name in moments:
        for moment in MOMENTS:
            answer = sender.get(f"/api/tds/{path}", **{name: moment})
            assert answer.status_code == 200, (name, moment, answer.text)
        for moment in ("yesterday", "2026-11-28", "2026-11-28T12:00:00", "0000-13-01T00:00:00Z"):
            assert sender.get(f"/api/tds/{path}", **{name: moment}).status_code == 422, (name, moment)


@pytest.mark.parametrize("path", FILTERS)
def test_described_patterns_mean_the_same_in_every_language(sender: Sender, path: str) -> None:
    patterns = {name: schema["pattern"] for name, schema in parameters(sender, path).items() if "pattern" in schema}
    for name, pattern in patterns.items():
        assert (pattern[0], pattern[-1]) == ("^", "$")
        assert "\\A" not in pattern and "\\Z" not in pattern
        for value in ("a", "\n", "a\n", "\\A", " ", "قهوة", "x" * 200):
            assert re.search(pattern, value), (pattern, value)
            assert sender.get(f"/api/tds/{path}", **{name: value}).status_code == 200, (name, value)
        for value in ("", "\0", "x" * 401):
            assert sender.get(f"/api/tds/{path}", **{name: value}).status_code == 422, (name, value)


def test_a_retry_that_chooses_nothing_is_refused_and_described_so(sender: Sender) -> None:
    described = sender.get("/api/tds/openapi.json").json["components"]["schemas"]["RetryArguments"]["anyOf"]
    required = {name for each in described for name in each["required"]}
    assert required == {"ids", "entity", "error_class", "fingerprint", "older_than_seconds", "everything"}
    for chosen in ({}, {"everything": False}, {"per_minute": 5}):
        assert sender.post("/api/tds/dead-letter/retry", chosen).status_code == 422, chosen
    for chosen in (
        {"older_than_seconds": 0}, {"older_than_seconds": 0.0, "everything": False}, {"ids": [1]}, {"everything": True},
        {"fingerprint": "a\nb"}, {"entity": "bill"}, {"error_class": "Any\n"},
    ):  # fmt: skip
        answer = sender.post("/api/tds/dead-letter/retry", chosen)
        assert answer.status_code < 300, (chosen, answer.status_code, answer.text)


def test_every_answer_says_that_it_is_what_it_says(sender: Sender) -> None:
    client = sender.app.test_client()
    for path in ("/healthz", "/metrics", "/nowhere", "/api/tds/health", "/api/tds/openapi.json", "/api/tds/queue",
                 "/api/tds/login", "/api/tds/docs", "/api/tds/static/pages.css"):  # fmt: skip
        for answer in (client.get(path), sender.get(path)):
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


def test_the_page_of_the_description_runs_its_own_scripts_and_no_others(sender: Sender) -> None:
    answer = sender.get("/api/tds/docs")
    policy = answer.headers["Content-Security-Policy"]
    [script] = re.findall(rb"<script>(.*?)</script>", answer.data, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    [scripts] = re.findall(r"script-src ([^;]*);", policy)
    assert scripts.split() == ["'self'", f"'sha256-{digest}'"]
