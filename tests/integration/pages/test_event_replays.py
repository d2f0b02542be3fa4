"""The pages of event replays: previewed, carried as they were shown, and never all by mistake."""

from collections.abc import Iterator

import pytest

from tests.support.page_reader import Pages, pages_of
from tests.support.webhook_sender import wrapped
from tests.support.world import World

PAGE, REPLAYS = "/dashboard/webhooks/replay", "/dashboard/webhooks/replays"
BEGIN = "POST zoho/webhooks/replay"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine) as pages:
        for n in range(3):
            assert pages.sender.send(wrapped(f"46000000003808{n}")).status_code == 202
        world.drain("product")
        yield pages


def test_what_was_shown_is_replayed_and_can_be_cancelled(world: World, pages: Pages) -> None:
    listed = pages.operator.get("/dashboard/webhooks?entity=product").text
    assert f'href="{PAGE}?entity=product"' in listed
    assert pages.operator.json(f"{PAGE}?entity=product")["preview"]["event_count"] == 3
    begun = pages.operator.press(f"{PAGE}?entity=product", BEGIN)
    assert (begun.status_code, begun.location) == (303, REPLAYS)
    [batch] = pages.viewer.json(REPLAYS)["replays"]["items"]
    assert (batch["event_count"], batch["asked"], batch["state"]) == (3, {"entity": "product"}, "running")
    cancelled = pages.operator.press(REPLAYS, f"POST zoho/webhooks/replay/{batch['id']}/cancel")
    assert cancelled.status_code == 303
    assert pages.viewer.json(REPLAYS)["replays"]["items"][0]["state"] == "cancelled"


def test_another_selection_than_the_one_shown_is_refused_with_its_reason(world: World, pages: Pages) -> None:
    refused = pages.operator.press(f"{PAGE}?entity=product", BEGIN, event_count="2")
    assert (refused.status_code, "3 events match now, 2 were shown" in refused.text) == (409, True)
    assert world.value("select count(*) from tds_replay_batches") == 0


def test_no_selection_is_refused_and_a_viewer_replays_nothing(world: World, pages: Pages) -> None:
    nothing = pages.operator.get(PAGE)
    assert (nothing.status_code, "Say which events" in nothing.text) == (200, True)
    assert pages.operator.get(f"{PAGE}?per_minute=5").status_code == 422
    assert not pages.operator.offers(PAGE, BEGIN)
    assert pages.viewer.get(f"{PAGE}?entity=product").status_code == 403
    assert pages.viewer.post(BEGIN, entity="product").status_code == 403
    assert pages.operator.post(BEGIN, entity="product").status_code == 403, "without the token"
    assert world.value("select count(*) from tds_replay_batches") == 0
