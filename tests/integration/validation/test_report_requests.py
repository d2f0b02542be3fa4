"""Validation on demand, by the API: the report's exact form at once, of many records the progress of one to come."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.auth import api_keys
from tds_core.validation import report_requests
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import validation
from tests.support.mirror_rows import put, put_clean_mirror
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/data-validation"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    put_clean_mirror(world)
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has more than three rows takes too long."""
    monkeypatch.setattr(report_requests, "MOST_AT_ONCE", 3)


def test_the_report_has_the_form_that_is_asked_for(sender: Sender, world: World) -> None:
    put(world, "product", source_id="x", sku="S-x", price="-1.50")
    answer = sender.post(f"{PATH}/products?limit=5")
    assert answer.status_code == 200
    report = answer.json
    assert list(report) == ["timestamp", "entity_type", "statistics", "issues"]
    assert report["entity_type"] == "product"
    assert report["statistics"] == {
        "total_records": 2, "valid_records": 1, "invalid_records": 1, "validation_rate": 50.0,
    }  # fmt: skip
    assert report["issues"] == [{
        "severity": "error",
        "entity_id": "x",
        "field": "price",
        "issue": "is less than 0",
        "current_value": "-1.50",
        "recommendation": (
            "Correct it in Zoho; the next sync brings it. Where Zoho differs: tds explain product x --live"
        ),
    }]  # fmt: skip


OLD_NAMES = ["products", "items", "customers", "vendors", "users", "sales-orders", "salesorders", "invoices",
             "customer_payments", "bills", "creditnotes", "stock-adjustments", "pricelists", "stock", "categories",
             "locations"]  # fmt: skip


@pytest.mark.parametrize("name", [*ENTITIES, *OLD_NAMES, "integrity", "orphans"])
def test_every_entity_is_validated_by_its_names(sender: Sender, name: str) -> None:
    answer = sender.post(f"{PATH}/{name}")
    assert answer.status_code == 200
    assert answer.json["entity_type"] in {*ENTITIES, "integrity", "orphans"}
    assert answer.json["statistics"]["total_records"] > 0


def test_a_name_that_means_nothing_is_told_which_do(sender: Sender) -> None:
    answer = sender.post(f"{PATH}/purchase-orders")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "sales_order" in answer.json["detail"]


@pytest.mark.parametrize("name", ["integrity", "orphans"])
def test_reports_about_everything_are_read_with_get(sender: Sender, world: World, name: str) -> None:
    put(world, "stock_level", source_id="lost", stock_on_hand=-1, lines={})
    answer = sender.get(f"{PATH}/{name}", limit=100).json
    assert answer["entity_type"] == name
    assert {issue["entity_id"] for issue in answer["issues"] if issue["severity"] == "warning"} == {"lost"}


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("2", 2), ("1000", 3)])
def test_a_limit_bounds_the_issues_and_not_the_statistics(sender: Sender, world: World, limit: str, count: int) -> None:
    for number in range(3):
        put(world, "customer", source_id=f"x{number}", name=None)
    answer = sender.post(f"{PATH}/customers?limit={limit}").json
    assert [issue["entity_id"] for issue in answer["issues"]] == [f"x{number}" for number in range(count)]
    assert answer["statistics"]["invalid_records"] == 3


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", ""])
def test_a_wrong_limit_is_refused(sender: Sender, limit: str) -> None:
    assert sender.post(f"{PATH}/customers?limit={limit}").status_code == 422
    assert sender.get(f"{PATH}/orphans", limit=limit).status_code == 422


def test_each_role_may_do_what_it_may(sender: Sender) -> None:
    keys = {}
    with session_scope(sender.engine) as session:
        for role in Role:
            _, keys[role] = api_keys.create_key(session, name=role.value, role=role, by="test")
    client = sender.app.test_client()
    asked = {("POST", entity): Role.OPERATOR for entity in ENTITIES}
    asked |= {("GET", path): Role.VIEWER for path in ("integrity", "orphans", "reports")}
    for (method, path), needed in asked.items():
        assert client.open(f"{PATH}/{path}", method=method).status_code == 401
        for role, key in keys.items():
            answer = client.open(f"{PATH}/{path}", method=method, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == (200 if role.covers(needed) else 403), (method, path, role)


@pytest.mark.usefixtures("large")
def test_of_many_records_a_worker_makes_the_report(sender: Sender, world: World) -> None:
    for number in range(4):
        put(world, "customer", source_id=f"x{number}", name=None)
    first = sender.post(f"{PATH}/customers?limit=2")
    assert (first.status_code, first.json["state"], first.json["subject"]) == (202, "waiting", "customer")
    place = first.headers["Location"]
    assert place == f"{PATH}/reports/{first.json['id']}"
    assert sender.post(f"{PATH}/customer").headers["Location"] == place
    validation.advance_reports(slice_seconds=60)
    stored = sender.get(place).json
    assert (stored["state"], stored["checked_count"]) == ("completed", stored["check_count"])
    assert [(kind["rule"], kind["count"]) for kind in stored["report"]["kinds"]] == [("required", 4)]
    answer = sender.post(f"{PATH}/customers?limit=2")
    assert (answer.status_code, len(answer.json["issues"])) == (200, 2)
    assert answer.json["statistics"] == stored["report"]["statistics"]
    assert [each["id"] for each in sender.get(f"{PATH}/reports", subject="customer").json["items"]] == [stored["id"]]
    assert sender.post(f"{PATH}/vendors").status_code == 200  # few records


@pytest.mark.usefixtures("large")
def test_a_report_is_made_anew_once_it_is_old(sender: Sender, world: World) -> None:
    put(world, "product", source_id="x", sku="S-x")
    assert sender.get(f"{PATH}/orphans").status_code == 202
    validation.advance_reports(slice_seconds=60)
    world.execute("update tds_validation_reports set ended_at = now() - interval '1 hour'")
    assert sender.get(f"{PATH}/orphans").status_code == 200  # who looks is shown what there is
    assert sender.post(f"{PATH}/orphans").status_code == 202
    world.execute("update tds_validation_reports set ended_at = now() - interval '2 days' where ended_at is not null")
    assert sender.get(f"{PATH}/orphans").status_code == 202


def test_severities_are_those_of_the_settings(world: World, database: str, engine: Engine) -> None:
    put_clean_mirror(world)
    world.execute("update erp.product set stock_on_hand = -1, sku = null")
    strict = {"TDS_NEGATIVE_STOCK": "error", "TDS_MISSING_SKU": "warning"}
    for environ, expected in (({}, {"error": "sku", "warning": "stock_on_hand"}),
                              (strict, {"error": "stock_on_hand", "warning": "sku"})):  # fmt: skip
        with sender_for(database, engine, **environ) as sender:
            issues = sender.post(f"{PATH}/product").json["issues"]
        assert {issue["severity"]: issue["field"] for issue in issues} == expected
