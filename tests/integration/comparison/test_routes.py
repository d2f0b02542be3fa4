"""The routes of comparisons: asked for, shown by role, repaired by plan, and stated; and `tds compare` over them."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from tds_core.audit_trail.seal_keys import derived_keys
from tds_core.auth import api_keys
from tds_core.comparison.agreement_statements import from_json, verify
from tds_core.config.settings import load_settings
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.comparing import compare, finish
from tests.support.comparing_workers import working
from tests.support.standin import StandIn
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

ROUTES = "/api/tds/statistics"


@pytest.fixture
def loaded(synced: World) -> World:
    for name in ("product", "vendor"):
        synced.run(name, "full")
    return synced


@pytest.fixture
def sender(loaded: World, database: str, redis_url: str, standin: StandIn) -> Iterator[Sender]:
    told = {**standin.settings, "TDS_REDIS_URL": redis_url, "TDS_SECRET_KEY": load_settings().secret_key}
    with sender_for(database, loaded.engine, **told) as sender:
        yield sender


def key_for(sender: Sender, role: Role) -> str:
    with session_scope(sender.engine) as session:
        return api_keys.create_key(session, name=role.value, role=role, by="test")[1]


def edit_here(world: World, count: int) -> list[str]:
    rows = world.rows("select source_id from erp.product where deleted_at is null order by source_id limit :n", n=count)
    ids = [row["source_id"] for row in rows]
    world.execute("alter table erp.product disable trigger user")  # by hand, and long ago
    world.execute(
        "update erp.product set price = price + 1, changed_at = now() - interval '1 hour' where source_id = any(:ids)",
        ids=ids,
    )
    world.execute("alter table erp.product enable trigger user")
    return ids


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("POST", "/compare", Role.OPERATOR), ("GET", "/compare", Role.VIEWER), ("GET", "/compare/1", Role.VIEWER),
        ("GET", "/compare/1/differences", Role.VIEWER), ("POST", "/compare/1/cancel", Role.OPERATOR),
        ("GET", "/comparisons", Role.VIEWER), ("GET", "/statement", Role.VIEWER), ("GET", "/statement/1", Role.VIEWER),
        ("POST", "/sync-differences", Role.OPERATOR), ("GET", "/recommendations", Role.VIEWER),
    ],
)  # fmt: skip
def test_each_route_answers_by_role(sender: Sender, method: str, path: str, needs: Role) -> None:
    for role in Role:
        headers = {"Authorization": f"Bearer {key_for(sender, role)}"}
        answer = sender.app.test_client().open(
            f"{ROUTES}{path}", method=method, headers=headers, json={} if method == "POST" else None
        )
        assert (answer.status_code == 403) == (not role.covers(needs)), (role, answer.json)
        assert answer.status_code < 500


def test_before_anything_was_compared_it_says_how_to(sender: Sender) -> None:
    for path in ("/compare", "/compare?entity=product", "/compare/1", "/compare/1/differences", "/statement"):
        answer = sender.get(f"{ROUTES}{path}")
        assert (answer.status_code, "tds compare" in answer.json["detail"]) == (404, True), path
    assert sender.get(f"{ROUTES}/comparisons").json["items"] == []
    assert sender.post(f"{ROUTES}/sync-differences", {}).status_code == 404


def test_a_comparison_is_asked_for_once_watched_and_cancelled(sender: Sender, loaded: World) -> None:
    asked = sender.post(f"{ROUTES}/compare", {"entities": ["vendor"], "sample": 3})
    assert (asked.status_code, asked.json["state"], asked.json["sample_size"]) == (202, "running", 3)
    assert [part["entity"] for part in asked.json["parts"]] == ["vendor"]
    assert sender.post(f"{ROUTES}/compare", {}).json["id"] == asked.json["id"] == "1"
    cancelled = sender.post(f"{ROUTES}/compare/1/cancel")
    assert (cancelled.status_code, cancelled.json["state"]) == (200, "cancelled")
    assert cancelled.json["agreement"] == "unproven"
    done = [tuple(row) for row in sender.rows(
        "select operation, outcome from tds_operator_actions where outcome <> 'begun' order by id")]  # fmt: skip
    assert [operation for operation, _ in done] == ["comparison.start", "comparison.start", "comparison.cancel"]


def test_follow_takes_the_list_of_a_full_pass(sender: Sender, loaded: World, standin: StandIn) -> None:
    asked = sender.post(f"{ROUTES}/compare", {"entities": ["vendor"], "follow": True}).json
    assert asked["parts"][0]["follows_run_id"] is not None
    standin.calls.clear()
    finish(loaded, int(asked["id"]))
    assert standin.calls == []
    assert sender.get(f"{ROUTES}/compare").json["agreement"] == "equal"


def test_reports_and_differences_are_shown_entity_by_entity_and_page_by_page(sender: Sender, loaded: World) -> None:
    changed = edit_here(loaded, 3)
    compare(loaded, "product", "vendor")
    compare(loaded, "vendor")
    assert [part["entity"] for part in sender.get(f"{ROUTES}/compare").json["parts"]] == ["vendor"]
    report = sender.get(f"{ROUTES}/compare", entity="product").json
    assert (report["id"], report["agreement"], report["difference_count"]) == ("1", "differs", 3)
    assert report["parts"][0]["match_percent"] == "93.3333"
    path, seen, cursor = f"{ROUTES}/compare/1/differences", [], None
    while True:
        page = sender.get(path, limit=2, state="confirmed", **({"cursor": cursor} if cursor else {})).json
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert sorted(each["source_id"] for each in seen) == changed
    assert {(each["cause"], each["fields"][0]["field"]) for each in seen} == {("edited_here", "price")}
    assert sender.get(path, entity="vendor").json["items"] == []
    assert sender.get(path, state="repaired").json["items"] == []
    assert [each["id"] for each in sender.get(f"{ROUTES}/comparisons", limit=1).json["items"]] == ["2"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/compare", {"entities": ["unicorn"]}), ("/compare", {"sample": -1}), ("/compare", {"sample": "many"}),
        ("/compare", {"entities": "product"}), ("/sync-differences", {"entity": "unicorn"}),
        ("/sync-differences", {"ids": []}), ("/sync-differences", {"comparison_id": 0}),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_by_name(sender: Sender, loaded: World, path: str, body: dict[str, Any]) -> None:
    answer = sender.post(f"{ROUTES}{path}", body)
    assert (answer.status_code, next(iter(body)) in str(answer.json["errors"])) == (422, True)
    assert loaded.value("select count(*) from tds_comparisons") == 0


def test_numbers_beyond_all_ids_are_not_found(sender: Sender) -> None:
    for path in (f"/compare/{2**63}", f"/compare/{2**63}/differences", f"/statement/{2**63}"):
        assert sender.get(f"{ROUTES}{path}").status_code == 404
    assert sender.post(f"{ROUTES}/compare/{2**63}/cancel").status_code == 404


def test_a_repair_is_planned_with_its_price_and_then_requested(sender: Sender, loaded: World) -> None:
    changed = edit_here(loaded, 3)
    compare(loaded, "product")
    planned = sender.post(f"{ROUTES}/sync-differences", {})
    assert (planned.status_code, planned.json["record_count"], planned.json["run_ids"]) == (200, 3, [])
    assert planned.json["api_call_count"] >= 1
    assert loaded.value("select count(*) from tds_sync_runs where mode = 'targeted'") == 0
    unknown = sender.post(f"{ROUTES}/sync-differences", {"ids": [changed[0], "404"], "dry_run": False})
    assert (unknown.status_code, "404" in unknown.json["detail"]) == (404, True)
    asked = sender.post(f"{ROUTES}/sync-differences", {"entity": "product", "ids": changed[:2], "dry_run": False})
    assert (asked.status_code, len(asked.json["run_ids"])) == (202, 1)
    assert asked.json["parts"][0]["source_ids"] == changed[:2]
    assert sender.post(f"{ROUTES}/sync-differences", {"comparison_id": 404}).status_code == 404


def test_recommendations_carry_their_price_and_the_command(sender: Sender, loaded: World) -> None:
    edit_here(loaded, 3)
    compare(loaded, "product")
    found = sender.get(f"{ROUTES}/recommendations").json
    assert found[0] == {
        "priority": 2, "entity": "product", "mode": "targeted", "estimated_api_calls": 1,
        "estimated_duration_seconds": found[0]["estimated_duration_seconds"],
        "reason": "3 records differ from the source.", "command": "tds compare product --repair",
    }  # fmt: skip
    assert {each["priority"] for each in found[1:]} == {6}


def test_a_statement_is_answered_as_its_file_and_with_whether_it_verifies(sender: Sender, loaded: World) -> None:
    compare(loaded, "vendor")
    answer = sender.get(f"{ROUTES}/statement")
    assert (answer.json["verifies"], answer.json["is_in_chain"], answer.json["reasons"]) == (True, True, [])
    assert verify(from_json(answer.data), derived_keys(load_settings())) == []
    assert sender.get(f"{ROUTES}/statement/1").json == answer.json
    assert sender.get(f"{ROUTES}/statement/2").status_code == 404


def test_a_statement_without_a_key_says_so(loaded: World, database: str, redis_url: str) -> None:
    compare(loaded, "vendor")
    with sender_for(database, loaded.engine, TDS_REDIS_URL=redis_url) as keyless:
        answer = keyless.get(f"{ROUTES}/statement").json
    assert (answer["verifies"], "TDS_SECRET_KEY" in answer["reasons"][0]) == (None, True)


def test_metrics_say_what_is_equal_and_how_old_the_proof_is(sender: Sender, loaded: World) -> None:
    loaded.execute("update tds_sync_runs set ended_at = now() - interval '5 hours' where entity = 'vendor'")
    edit_here(loaded, 9)
    compare(loaded, "product")
    lines = dict(line.rsplit(" ", 1) for line in sender.get("/metrics").text.splitlines() if "tds_comparison_" in line)
    assert float(lines['tds_comparison_match_ratio{entity="product"}']) == 0.8
    assert float(lines['tds_comparison_differences{entity="product"}']) == 9
    assert float(lines['tds_comparison_suspects{entity="product"}']) == 0
    assert float(lines['tds_comparison_age_seconds{entity="product"}']) < 60
    assert float(lines['tds_comparison_age_seconds{entity="vendor"}']) == pytest.approx(5 * 3600, abs=60)
    assert not any('entity="customer"' in line for line in lines), "it has no rows to prove"


@pytest.fixture
def tds(
    sender: Sender, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """Commands that reach TDS over HTTP alone."""
    server = make_server("127.0.0.1", 0, sender.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("TDS_DATABASE_URL", "TDS_REDIS_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TDS_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("TDS_API_KEY", key_for(sender, Role.OPERATOR))
    yield CommandLine(monkeypatch, capsys, columns=220)
    server.shutdown()
    server.server_close()
    monkeypatch.setenv("TDS_DATABASE_URL", database)  # the world that ends next asks for it


def test_elsewhere_is_compared_repaired_and_stated_like_here(
    sender: Sender, tds: CommandLine, loaded: World, tmp_path: Any
) -> None:
    edit_here(loaded, 25)
    with working(loaded):
        said = tds("compare", "product")
        assert (said.exit_code, "20 of 25" in said.out) == (1, True), said.errors
        listed = tds("compare", "--show", "1", "--differences", "--json").json
        assert len(listed["differences"]) == 25
        mended = tds("compare", "product", "--show", "1", "--repair", "--yes")
        assert mended.exit_code == 0, mended.errors
    assert "Of 25 records that differed, 25 are equal now." in mended.errors
    file = tmp_path / "statement.json"
    assert tds("compare", "--show", "2", "--statement", str(file)).exit_code == 0
    proven = tds("verify", "statement", str(file))
    assert (proven.exit_code, "the chain has it" in proven.out) == (0, True), proven.errors
    assert tds("compare", "--cancel", "2").exit_code == 0
    assert tds("compare", "--show", "404").exit_code == 2
