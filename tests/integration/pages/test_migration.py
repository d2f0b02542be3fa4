"""The page of an old sync's tables, and the routes behind it: how entities stand, and day by day."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.page_reader import Pages, pages_of
from tests.support.world import World

PAGE = "/dashboard/comparison/old-tables"
TODAY = datetime.now(UTC).date()


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine) as pages:
        yield pages


def days(world: World, entity: str, count: int, **more: int) -> None:
    """Store results of so many days in a row up to today."""
    values = {"old_wrong_count": 2, "tds_wrong_count": 0, **more}
    for ago in reversed(range(count)):
        world.execute(
            f"insert into tds_cutover_days (day, entity, mapping_digest, requested_by, ended_at, {', '.join(values)},"
            " field_counts) values (:day, :entity, 'x', 'cron', now(), "
            f"{', '.join(map(str, values.values()))}, '{{\"price\": 2}}')",
            day=TODAY - timedelta(days=ago), entity=entity,
        )  # fmt: skip


def test_without_a_comparison_the_page_says_what_to_do(pages: Pages) -> None:
    page = pages.viewer.get(PAGE).text
    assert "Nothing was compared with an old sync yet" in page
    assert "tds migrate-from compare --mapping FILE" in page
    assert f'href="{PAGE}"' not in pages.viewer.get("/dashboard/comparison").text
    assert pages.viewer.json(PAGE)["migration"]["entities"] == []


def test_entities_stand_with_their_clean_days_and_what_is_in_the_way(world: World, pages: Pages) -> None:
    days(world, "product", 3)
    days(world, "customer", 8)
    days(world, "invoice", 1, tds_wrong_count=4)
    found = pages.viewer.json(PAGE)["migration"]
    entities = {each["entity"]: each for each in found["entities"]}
    assert (found["clean_days_needed"], found["promoted_at"]) == (7, None)
    assert {name: each["clean_day_count"] for name, each in entities.items()} == {
        "customer": 8, "invoice": 0, "product": 3,
    }  # fmt: skip
    assert [name for name, each in entities.items() if each["is_ready"]] == ["customer"]
    assert entities["invoice"]["newest"]["tds_wrong_count"] == 4
    page = pages.viewer.get(PAGE).text
    assert "TDS is wrong about 4 records" in page and "3 of 7 days in a row" in page
    assert f'href="{PAGE}"' in pages.viewer.get("/dashboard/comparison").text


def test_days_are_listed_by_page_and_by_entity(world: World, pages: Pages) -> None:
    days(world, "product", 3)
    days(world, "customer", 1)
    world.execute("update tds_cutover_days set ended_at = null where entity = 'customer'")
    assert "did not end" in pages.viewer.get(PAGE).text
    first = pages.viewer.json(PAGE, limit=1)["days"]
    assert [each["entity"] for each in first["items"]] == ["customer"]
    rest = pages.viewer.json(PAGE, entity="product", cursor=first["next_cursor"])["days"]
    assert [each["day"] for each in rest["items"]] == [str(TODAY - timedelta(days=ago)) for ago in range(3)]
    assert rest["items"][0]["field_counts"] == {"price": 2}
    assert len(pages.viewer.get(PAGE, format="csv").text.splitlines()) == 5


def test_a_promotion_is_told(world: World, pages: Pages) -> None:
    days(world, "product", 1)
    world.execute(
        "insert into tds_cutover_promotions (promoted_by, reason, mapping, steps) values ('ann', '', '', '[]')"
    )
    page = pages.viewer.get(PAGE).text
    assert "The mirror stands under the old names since" in page and "ann" in page
