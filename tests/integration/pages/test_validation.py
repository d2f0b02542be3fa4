"""The pages of validation and findings: what breaks a rule leads to its record, and a finding is resolved."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.validation import report_requests
from tests.support.page_reader import Pages, pages_of
from tests.support.planted_rows import plant, records

PAGE, FINDINGS = "/dashboard/validation", "/dashboard/findings"
SEEN = "2026-11-20T00:00:00Z"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    records(engine, "product", {"name": "A", "sku": "S-1"}, {"name": "B", "sku": "S-1"}, {"name": "C", "sku": "S-2"})
    with pages_of(database, engine) as pages:
        yield pages


def finding(engine: Engine, **more: str) -> None:
    row = {"kind": "doubted_value", "severity": "warning", "source": "zoho", "entity": "product", "subject": "2",
           "detail": "{}", "first_seen_at": SEEN, "last_seen_at": SEEN, **more}  # fmt: skip
    plant(engine, "tds_findings", row)


def test_the_records_that_break_a_rule_are_named_and_linked(pages: Pages) -> None:
    report = pages.operator.json(f"{PAGE}/product")
    assert report["answer"]["statistics"]["invalid_records"] == 2
    wrong = {issue["entity_id"] for issue in report["issues"] if issue["severity"] == "error"}
    assert wrong == {"1", "2"}
    page = pages.operator.get(f"{PAGE}/product").text
    assert 'href="/dashboard/entities/product/1"' in page and "33.33 %" in page
    assert "S-1" in pages.operator.get(f"{PAGE}/product", format="csv").text
    led_on = pages.viewer.get(f"{PAGE}/product")
    assert (led_on.status_code, led_on.headers["Location"]) == (303, f"{PAGE}?subject=product")
    assert pages.viewer.get(f"{PAGE}/integrity").status_code == 200
    assert pages.viewer.get(f"{PAGE}/nothing").status_code == 404


def test_a_report_about_many_records_is_followed_while_a_worker_makes_it(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_requests, "MOST_AT_ONCE", 1)
    answer = pages.operator.get(f"{PAGE}/product")
    assert answer.status_code == 303
    assert "A worker makes this report" in pages.viewer.get(answer.headers["Location"]).text
    assert [each["subject"] for each in pages.viewer.json(PAGE)["reports"]["items"]] == ["product"]
    assert pages.viewer.json(PAGE, subject="customer")["reports"]["items"] == []


def test_a_finding_is_shown_until_an_operator_resolves_it(pages: Pages, engine: Engine) -> None:
    finding(engine)
    finding(engine, subject="3", entity="customer")
    [shown] = pages.viewer.json(FINDINGS, entity="product")["findings"]["items"]
    act = f"POST findings/{shown['id']}/resolve"
    assert 'href="/dashboard/entities/product/2"' in pages.viewer.get(FINDINGS).text
    assert not pages.viewer.offers(FINDINGS, act)
    assert pages.operator.post(act).status_code == 403, "without the token"
    assert pages.operator.press(FINDINGS, act).status_code == 303
    assert pages.viewer.json(FINDINGS, entity="product")["findings"]["items"] == []
    [resolved] = pages.viewer.json(FINDINGS, open="false")["findings"]["items"]
    assert (resolved["subject"], resolved["resolved_by"]) == ("2", "the-operator")
    assert len(pages.viewer.json(FINDINGS, open="all")["findings"]["items"]) == 2
