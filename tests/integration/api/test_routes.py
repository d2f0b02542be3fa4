"""The API's reads and requests: what is shown, to whom, page by page, exactly."""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tds_api.auth.permissions import ANYBODY, needs
from tds_core.config.settings import DECLARATIONS
from tds_models.entities import ENTITIES
from tests.support.webhook_sender import TOKEN, Sender, sender_for, wrapped

GUARDED = [
    "/zoho/webhooks/recent",
    "/zoho/webhooks/rejected",
    "/zoho/webhooks/health",
    "/runs",
    "/runs/1",
    "/queue",
    "/queue/stats",
    "/dead-letter",
    "/dead-letter/retry",
    "/dashboard",
    "/dashboard/complete",
    "/entities",
    "/entities/product",
    "/entities/product/1",
    "/entities/product/1/history",
    "/explain/product/1",
]


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def add_products(sender: Sender, count: int) -> None:
    with sender.engine.begin() as connection:
        for number in range(count):
            connection.execute(
                text(
                    "insert into erp.product (source, source_id, name, price, custom_fields, source_record, version,"
                    " confirmed_at) values ('zoho', :id, 'x', :price, '{\"cf_size\": 1.50}', cast(:record as jsonb),"
                    " 1, now())"
                ),
                {"id": f"{number:03}", "price": Decimal("12345678901234.5600"), "record": '{"rate": 0.10, "id": 1e2}'},
            )


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Bearer wrong", "Basic " + TOKEN, "Bearer \xff"])
def test_without_the_token_nothing_is_shown(sender: Sender, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in GUARDED:
        answer = sender.app.test_client().get(f"/api/tds{path}", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_without_a_configured_token_an_empty_one_opens_nothing(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_API_TOKEN="") as sender:
        for header in ("Bearer ", "Bearer", ""):
            answer = sender.app.test_client().get("/api/tds/queue", headers={"Authorization": header})
            assert answer.status_code == 401


def test_every_row_is_on_exactly_one_page_while_rows_come(sender: Sender) -> None:
    for number in range(7):
        sender.send(wrapped(str(number)))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = sender.get("/api/tds/zoho/webhooks/recent", limit=3, **({"cursor": cursor} if cursor else {})).json
        seen += [event["id"] for event in page["items"]]
        sender.send(wrapped(f"new-{len(seen)}"))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen, key=int, reverse=True)
    assert len(seen) == len(set(seen)) == 7


def test_rows_are_paged_in_the_order_of_their_ids(sender: Sender) -> None:
    add_products(sender, 5)
    first = sender.get("/api/tds/entities/product", limit=3).json
    second = sender.get("/api/tds/entities/product", limit=3, cursor=first["next_cursor"]).json
    assert [row["source_id"] for row in first["items"] + second["items"]] == ["000", "001", "002", "003", "004"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("path", ["/runs", "/queue", "/zoho/webhooks/recent", "/zoho/webhooks/rejected"])
def test_a_made_up_cursor_is_refused_and_never_a_crash(sender: Sender, path: str) -> None:
    made_up = ["5", "[]", "[true]", '["a"]', '["a","b"]', "[null]", "[1e30]", "[99999999999999999999]", "[1,2]", "{"]
    spelled = [base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") for text in made_up]
    for cursor in [*spelled, "x", "", "é", "%%%"]:
        answer = sender.get(f"/api/tds{path}", cursor=cursor)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_cursor"), cursor


def test_numbers_are_spelled_exactly_and_records_as_they_came(sender: Sender) -> None:
    add_products(sender, 1)
    listed = sender.get("/api/tds/entities/product").json["items"][0]
    assert (listed["price"], listed["confirmed_at"] is None, listed["deleted_at"]) == (
        "12345678901234.5600",
        False,
        None,
    )
    whole = sender.get("/api/tds/entities/product/000")
    assert '"source_record":{"id": 100, "rate": 0.10}' in whole.text


@pytest.mark.parametrize(("filters", "count"), [
    ({}, 4), ({"deleted": "true"}, 1), ({"deleted": "false"}, 3), ({"confirmed": "false"}, 1),
    ({"changed_since": "2100-01-01T00:00:00Z"}, 0), ({"changed_since": "2000-01-01T00:00:00+03:00"}, 4),
])  # fmt: skip
def test_rows_are_filtered(sender: Sender, filters: dict[str, str], count: int) -> None:
    add_products(sender, 4)
    with sender.engine.begin() as connection:
        connection.execute(text("update erp.product set deleted_at = now() where source_id = '001'"))
        connection.execute(text("update erp.product set confirmed_at = null where source_id = '002'"))
    assert len(sender.get("/api/tds/entities/product", **filters).json["items"]) == count


def test_the_overview_counts_every_entity(sender: Sender) -> None:
    add_products(sender, 2)
    standings = {row["entity"]: row for row in sender.get("/api/tds/entities").json}
    assert list(standings) == list(ENTITIES)
    assert standings["product"]["live_count"] == 2
    assert standings["customer"] == {**standings["customer"], "live_count": 0, "last_run": None, "cursor_at": None}


@pytest.mark.parametrize("entity", list(ENTITIES))
def test_every_entity_has_its_routes(sender: Sender, entity: str) -> None:
    assert sender.get(f"/api/tds/entities/{entity}").json == {"items": [], "next_cursor": None}
    assert sender.get(f"/api/tds/entities/{entity}/1").json["code"] == "not_found"
    assert sender.get(f"/api/tds/entities/{entity}/1/history").json["items"] == []
    assert sender.get(f"/api/tds/explain/{entity}/1").json["steps"] == []


def test_a_record_is_explained_in_the_order_of_time(sender: Sender) -> None:
    sender.send(wrapped("1"), headers={"X-Correlation-Id": "story"})
    with sender.engine.begin() as connection:
        connection.execute(
            text(
                "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin,"
                " correlation_id) values ('zoho', 'product', '1', 1, 'created', cast(:changes as jsonb), 'webhook',"
                " 'story')"
            ),
            {"changes": json.dumps({"price": [None, "1.10"]})},
        )
    story = sender.get("/api/tds/explain/product/1").json
    assert [step["kind"] for step in story["steps"]] == ["event", "change"]
    assert {step["correlation_id"] for step in story["steps"]} == {"story"}
    assert story["steps"][1]["detail"]["changes"] == {"price": [None, "1.10"]}
    assert story["owed"]["origin"] == "webhook"
    assert sender.get("/api/tds/entities/product/1/history").json["items"][0]["operation"] == "created"


def test_rows_are_read_as_of_a_moment(sender: Sender) -> None:
    with sender.engine.begin() as connection:
        connection.execute(text("insert into erp.product (source, source_id, version) values ('zoho', '1', 2)"))
        for version, price in ((1, "1.10"), (2, "2.0")):
            connection.execute(
                text(
                    "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin,"
                    " correlation_id, recorded_at) values ('zoho', 'product', '1', :version, 'updated',"
                    " cast(:changes as jsonb), 'webhook', 'c', make_timestamptz(2026, 11, :version, 0, 0, 0, 'UTC'))"
                ),
                {"version": version, "changes": json.dumps({"price": [None, price]})},
            )
    then = "2026-11-01T12:00:00Z"
    row = sender.get("/api/tds/entities/product/1", as_of=then).json
    assert (row["price"], row["version"], row["changed_at"]) == ("1.10", 1, "2026-11-01T00:00:00+00:00")
    assert [each["price"] for each in sender.get("/api/tds/entities/product", as_of=then).json["items"]] == ["1.10"]
    assert sender.get("/api/tds/entities/product", as_of="2026-10-01T00:00:00Z").json["items"] == []
    assert sender.get("/api/tds/entities/product/1", as_of="2026-10-01T00:00:00Z").status_code == 404
    assert sender.get("/api/tds/entities/product", as_of=then, confirmed="true").status_code == 422
    assert sender.get("/api/tds/entities/product/1", as_of="2026-11-01T12:00:00").status_code == 422


def test_a_story_is_paged_bounded_and_narrowed(sender: Sender) -> None:
    sender.send(wrapped("1"))
    sender.send(wrapped("1", rate=3), secret=None)
    sender.send(wrapped("2"), secret=None)
    story = sender.get("/api/tds/explain/product/1").json
    assert [step["kind"] for step in story["steps"]] == ["event", "refused"]
    assert story["verdict"]["state"] == "owed"
    page = sender.get("/api/tds/explain/product/1", limit=1).json
    assert [step["kind"] for step in page["steps"]] == ["refused"]
    older = sender.get("/api/tds/explain/product/1", limit=1, cursor=page["next_cursor"]).json
    assert ([step["kind"] for step in older["steps"]], older["next_cursor"]) == (["event"], None)
    assert sender.get("/api/tds/explain/product/1", since="2100-01-01T00:00:00Z").json["steps"] == []
    assert sender.get("/api/tds/explain/product/1", field="price").json["verdict"]["field"].startswith("price never")
    assert sender.get("/api/tds/explain/product/1", field="colour").status_code == 422
    assert sender.get("/api/tds/explain/product/1", cursor="x").json["code"] == "invalid_cursor"


def test_reception_health_counts_what_came_and_what_was_refused(sender: Sender) -> None:
    sender.send(wrapped("1"))
    sender.send(wrapped("1"))
    sender.send(b"{}")
    sender.send(wrapped("2"), secret=None)
    health = sender.get("/api/tds/zoho/webhooks/health").json
    assert (health["received_count"], health["duplicate_count"]) == (2, 1)
    assert health["by_verdict"] == {"open": 1, "quarantined": 1}
    assert [(row["reason"], row["count"]) for row in health["rejected"]] == [("signature_missing", 1)]
    refused = sender.get("/api/tds/zoho/webhooks/rejected", reason="signature_missing").json["items"]
    assert json.loads(refused[0]["body_start"])["item"]["item_id"] == "2"


@pytest.mark.parametrize(("verdict", "count"), [("open", 1), ("quarantined", 1), ("applied", 0)])
def test_events_are_found_by_verdict(sender: Sender, verdict: str, count: int) -> None:
    sender.send(wrapped("1"))
    sender.send(b"{}")
    assert len(sender.get("/api/tds/zoho/webhooks/recent", verdict=verdict).json["items"]) == count


def test_a_run_is_asked_for_once_and_seen(sender: Sender) -> None:
    first = sender.post("/api/tds/sync/product", {"mode": "full"})
    assert first.status_code == 202
    assert sender.post("/api/tds/sync/product", {"mode": "full"}).json["run_id"] == first.json["run_id"]
    run = sender.get(f"/api/tds/runs/{first.json['run_id']}").json
    assert (run["entity"], run["mode"], run["state"], run["requested_by"]) == ("product", "full", "queued", "token")
    assert len(sender.get("/api/tds/runs", entity="product", state="queued").json["items"]) == 1
    assert sender.get("/api/tds/runs", entity="invoice").json["items"] == []


def test_a_run_is_cancelled_before_its_next_page(sender: Sender) -> None:
    run_id = sender.post("/api/tds/sync/product", {"mode": "full"}).json["run_id"]
    assert sender.post(f"/api/tds/runs/{run_id}/cancel", {}).json["state"] == "cancelled"
    assert sender.post("/api/tds/runs/999/cancel", {}).status_code == 404


def test_given_records_become_work_that_asks_the_source(sender: Sender) -> None:
    answer = sender.post("/api/tds/sync/product", {"mode": "targeted", "ids": ["1", "2", "2"]})
    assert (answer.status_code, answer.json["item_count"]) == (202, 2)
    assert sender.rows("select distinct origin, must_read from tds_sync_queue") == [("operator", True)]
    items = sender.get("/api/tds/queue", entity="product", state="due").json["items"]
    assert [item["source_id"] for item in items] == ["2", "1"]
    assert sender.get("/api/tds/queue/stats").json[0]["due_count"] == 2


@pytest.mark.parametrize(("entity", "body", "status"), [
    ("product", {}, 422),
    ("product", {"mode": "sideways"}, 422),
    ("product", {"mode": "targeted"}, 422),
    ("product", {"mode": "targeted", "ids": []}, 422),
    ("product", {"mode": "targeted", "ids": ["a\u0000"]}, 422),
    ("product", {"mode": "targeted", "ids": [1]}, 422),
    ("product", {"mode": "full", "ids": ["1"]}, 422),
    ("product", [], 422),
    ("nothing", {"mode": "full"}, 404),
])  # fmt: skip
def test_a_sync_that_makes_no_sense_is_refused(sender: Sender, entity: str, body: Any, status: int) -> None:
    answer = sender.post(f"/api/tds/sync/{entity}", body)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    assert (sender.count("tds_sync_queue"), sender.count("tds_sync_runs")) == (0, 0)


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/api/tds/nowhere", 404, "not_found"),
    ("/api/tds/entities/nothing", 404, "not_found"),
    ("/api/tds/runs/9223372036854775808", 404, "not_found"),
    ("/api/tds/runs/1", 404, "not_found"),
    ("/api/tds/entities/product/%00", 404, "not_found"),
    ("/api/tds/queue?limit=0", 422, "invalid_arguments"),
    ("/api/tds/queue?limit=501", 422, "invalid_arguments"),
    ("/api/tds/queue?state=sleeping", 422, "invalid_arguments"),
    ("/api/tds/runs?since=yesterday", 422, "invalid_arguments"),
    ("/api/tds/zoho/webhooks/recent?source_id=%00", 422, "invalid_arguments"),
    ("/api/tds/zoho/webhooks/rejected?reason=%00", 422, "invalid_arguments"),
])  # fmt: skip
def test_a_wrong_question_is_answered_with_a_problem(sender: Sender, path: str, status: int, code: str) -> None:
    answer = sender.get(path)
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/nowhere", 404, "not_found"),
    ("POST", "/healthz", 405, "method_not_allowed"),
    ("TRACE", "/api/tds/queue", 405, "method_not_allowed"),
    ("DELETE", "/api/tds/runs/1", 405, "method_not_allowed"),
    ("POST", "/api/tds/sync/product", 422, "invalid_arguments"),
    ("POST", "/api/tds/zoho/webhooks/product", 404, "not_found"),
])  # fmt: skip
def test_what_no_route_answers_is_a_problem_too(sender: Sender, method: str, path: str, status: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain", "Accept": "image/png"}
    answer = sender.app.test_client().open(path, method=method, headers=headers, data=b"x")
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_bug_is_a_problem_that_tells_strangers_nothing(sender: Sender) -> None:
    def broken() -> None:
        raise ZeroDivisionError("the secret is hunter2")

    sender.app.view_functions["monitoring.alive"] = needs(ANYBODY)(broken)
    answer = sender.app.test_client().get("/healthz")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text


def test_the_description_names_every_route_and_needs_nobody_elses_server(sender: Sender) -> None:
    paths = sender.get("/api/tds/openapi.json").json["paths"]
    for path in GUARDED:
        assert f"/api/tds{path}".replace("/1", "/{source_id}").replace("runs/{source_id}", "runs/{run_id}") in paths
    assert {"/api/tds/zoho/webhooks", "/api/tds/zoho/webhooks/{entity}/{event}"} <= set(paths)
    page = sender.get("/api/tds/docs").text
    assert "https://" not in page
    assert sender.app.test_client().get("/api/tds/static/swagger-ui/swagger-ui-bundle.js").status_code == 200


def test_the_settings_the_edge_goes_by_are_declared() -> None:
    assert {"TDS_API_TOKEN", "ZOHO_WEBHOOK_SECRET", "TDS_WEBHOOK_MAX_BYTES"} <= set(DECLARATIONS)


def test_the_overview_says_in_one_answer_what_the_others_say(sender: Sender) -> None:
    add_products(sender, 3)
    sender.send(wrapped())
    found = sender.get("/api/tds/dashboard").json
    assert sorted(found) == ["at", "entities", "health", "reception"]
    assert {row["entity"]: row["live_count"] for row in found["entities"]}["product"] == 3
    assert len(found["entities"]) == len(ENTITIES)
    assert found["reception"]["received_count"] == 1
    assert found["health"]["components"]
    whole = sender.get("/api/tds/dashboard/complete").json
    assert [(row["entity"], row["due_count"]) for row in whole["queue"]] == [("product", 1)]
    assert whole["schedules"] == sender.get("/api/tds/schedules").json
    assert whole["quota"]["days"]
    assert "database" in {breaker["name"] for breaker in whole["breakers"]}


def test_an_organisations_own_fields_are_shown_as_they_are_kept(sender: Sender) -> None:
    add_products(sender, 1)
    for answer in (sender.get("/api/tds/entities/product"), sender.get("/api/tds/entities/product/000")):
        assert answer.status_code == 200
        assert '"custom_fields":{"cf_size": 1.50}' in answer.text
