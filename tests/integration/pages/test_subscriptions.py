"""The pages of subscriptions: made with a secret that is seen once, and for administrators alone."""

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from tests.support.page_reader import Pages, pages_of
from tests.support.world import World

PAGE = "/dashboard/subscriptions"
SHOP = f"{PAGE}/shop"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine, TDS_SECRET_KEY=Fernet.generate_key().decode()) as pages:
        yield pages


def subscribe(pages: Pages) -> str:
    """Subscribe as the form does. Returns the secret."""
    fields = {"name": "shop", "url": "https://93.184.216.34/hook", "entities[]": ["product", "customer"]}
    made = pages.admin.press(PAGE, "POST subscriptions", **fields)
    assert made.status_code == 200, made.text
    return "whsec_" + made.text.split("whsec_")[1].split("<")[0]


def test_a_secret_is_seen_once_and_then_nowhere(world: World, pages: Pages) -> None:
    secret = subscribe(pages)
    assert len(secret) > 30
    assert world.value("select entities from tds_subscriptions") == ["customer", "product"]
    for path in (PAGE, SHOP, f"{SHOP}?format=json", f"{PAGE}?format=csv"):
        answer = pages.admin.get(path)
        assert (answer.status_code, "shop" in answer.text, secret in answer.text) == (200, True, False)
    rotated = pages.admin.press(SHOP, "POST subscriptions/shop/rotate", grace_seconds="3600")
    assert "whsec_" in rotated.text and secret not in rotated.text
    assert "The previous secret signs until" in pages.admin.get(SHOP).text


def test_a_subscription_is_paused_resumed_and_deleted(world: World, pages: Pages) -> None:
    subscribe(pages)
    assert pages.admin.press(SHOP, "POST subscriptions/shop/pause").status_code == 303
    assert pages.admin.json(PAGE, state="paused")["subscriptions"]["items"][0]["name"] == "shop"
    assert pages.admin.json(PAGE, state="active")["subscriptions"]["items"] == []
    assert pages.admin.press(SHOP, "POST subscriptions/shop/resume").status_code == 303
    assert world.value("select state from tds_subscriptions") == "active"
    nothing = pages.admin.press(SHOP, "POST subscriptions/shop/replay", since="when it broke")
    assert nothing.status_code == 422
    assert pages.admin.press(SHOP, "DELETE subscriptions/shop").location == PAGE
    assert world.value("select count(*) from tds_subscriptions") == 0


def test_others_than_administrators_see_why_not(world: World, pages: Pages) -> None:
    subscribe(pages)
    for reader in (pages.viewer, pages.operator):
        page = reader.get(PAGE)
        assert (page.status_code, "shop" in page.text) == (403, False)
        assert "needs the role" in page.text
        for action in ("POST subscriptions/shop/pause", "DELETE subscriptions/shop", "POST subscriptions/shop/rotate"):
            assert reader.post(action).status_code == 403
            assert pages.admin.post(action).status_code == 403, "without the token"
    assert world.value("select state from tds_subscriptions") == "active"
