"""The pages of comparisons: what differs is found, its repair is seen before it is done, and statements verify."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tds_api.pages.comparison import progress_of
from tds_core.config.settings import load_settings
from tests.support.comparing import compare
from tests.support.page_reader import Pages, pages_of
from tests.support.standin import StandIn
from tests.support.world import World, forget_context

PAGE, REPAIR = "/dashboard/comparison", "POST statistics/sync-differences"


@pytest.fixture
def pages(synced: World, database: str, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    monkeypatch.setenv("TDS_COMPARISON_SETTLE_SECONDS", "0")
    forget_context()
    for entity in ("product", "customer"):
        synced.run(entity, "full")
    key = load_settings().secret_key
    with pages_of(database, synced.engine, **standin.settings, TDS_SECRET_KEY=key) as pages:
        yield pages


def edit_by_hand(world: World, entity: str, change: str) -> str:
    source_id = str(world.value(f"select min(source_id) from erp.{entity} where deleted_at is null"))
    world.execute(f"alter table erp.{entity} disable trigger user")
    world.execute(
        f"update erp.{entity} set {change}, changed_at = now() - interval '1 hour' where source_id = '{source_id}'"
    )
    world.execute(f"alter table erp.{entity} enable trigger user")
    return source_id


def test_what_differs_stands_field_by_field_and_its_repair_is_seen_before_it_is_done(
    pages: Pages, synced: World
) -> None:
    product = edit_by_hand(synced, "product", "price = price + 1")
    customer = edit_by_hand(synced, "customer", "email = 'other@example.test'")
    compared = compare(synced, "product", "customer")
    data = pages.viewer.json(PAGE, entity="product")
    assert [(each["source_id"], each["state"]) for each in data["differences"]["items"]] == [(product, "confirmed")]
    assert [field["field"] for field in data["differences"]["items"][0]["fields"]] == ["price"]
    page = pages.viewer.get(PAGE).text
    assert f'href="/dashboard/entities/customer/{customer}"' in page
    assert f'href="{PAGE}/{compared["id"]}?repair=all&amp;entity=product"' in page, "what is recommended leads on"
    assert "other@example.test" not in page + pages.viewer.get(PAGE, format="csv").text, "personal"
    plan_page = f"{PAGE}/{compared['id']}?repair=all&entity=product"
    assert "needs the role operator" in pages.viewer.get(plan_page).text
    seen = pages.operator.get(f"{plan_page}&format=json").json["plan"]
    assert (seen["record_count"], seen["api_call_count"], seen["run_ids"]) == (1, 1, [])
    assert pages.operator.post(REPAIR, comparison_id=compared["id"], **{"dry_run?": "false"}).status_code == 403
    assert synced.value("select count(*) from tds_sync_runs where mode = 'targeted'") == 0
    assert pages.operator.press(plan_page, REPAIR, seen_count="2").status_code == 409, "of another plan"
    assert pages.operator.press(plan_page, REPAIR).status_code == 303
    asked = synced.one("select entity, asked from tds_sync_runs where mode = 'targeted'")
    assert (asked["entity"], asked["asked"]["ids"]) == ("product", [product])


def test_nothing_selected_repairs_nothing(pages: Pages, synced: World) -> None:
    edit_by_hand(synced, "product", "price = price + 1")
    page = f"{PAGE}/{compare(synced, 'product')['id']}?repair=selected"
    assert "No record is selected" in pages.operator.get(page).text
    assert not pages.operator.offers(page, REPAIR)


def test_a_comparison_is_begun_followed_and_cancelled(pages: Pages, synced: World) -> None:
    first = pages.viewer.get(PAGE)
    assert (first.status_code, "Nothing was compared yet" in first.text) == (200, True)
    assert not pages.viewer.offers(PAGE, "POST statistics/compare")
    pages.operator.press(PAGE, "POST statistics/compare", **{"entities[]": "product"})
    number = synced.value("select id from tds_comparisons where state = 'running'")
    assert "Under way" in pages.viewer.get(PAGE).text
    pages.operator.press(PAGE, f"POST statistics/compare/{number}/cancel")
    assert synced.value("select state from tds_comparisons") == "cancelled"
    earlier = pages.viewer.get(f"{PAGE}/earlier").text
    assert f'href="{PAGE}/{number}"' in earlier


def test_a_statement_says_whether_it_verifies(pages: Pages, synced: World) -> None:
    compare(synced, "product")
    assert "The signature verifies." in pages.viewer.get(f"{PAGE}/statement").text
    assert pages.viewer.json(f"{PAGE}/statement/1")["statement"]["is_in_chain"] is True
    assert pages.viewer.get(f"{PAGE}/statement/9").status_code == 404


def test_what_is_left_is_reckoned_from_what_was_read() -> None:
    now = datetime.now(UTC)
    part = {"expected_count": 100, "read_count": 25, "ended_at": None, "is_put_off": False}
    running = {"requested_at": (now - timedelta(seconds=10)).isoformat(), "parts": [part]}
    assert progress_of(running, now) == (0.25, 30)
    assert progress_of({**running, "parts": [{**part, "read_count": 0}]}, now) == (0.0, None)
    assert progress_of({**running, "parts": [{**part, "is_put_off": True}]}, now) == (0.25, None)
