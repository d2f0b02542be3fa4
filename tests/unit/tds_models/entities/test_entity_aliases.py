"""Entities are found by the names that people and other programs give them."""

import pytest

from tds_models.entities import ENTITIES
from tds_models.entities.entity_aliases import entity_called


@pytest.mark.parametrize(("name", "entity"), [
    ("product", "product"), ("products", "product"), ("items", "product"), ("Item", "product"),
    ("sales_order", "sales_order"), ("sales-orders", "sales_order"), ("salesorders", "sales_order"),
    ("creditnotes", "credit_note"), ("price lists", "price_list"), ("stock", "stock_level"),
    ("categories", "category"), ("stock_adjustments", "stock_adjustment"),
])  # fmt: skip
def test_a_name_in_any_spelling_is_the_entity(name: str, entity: str) -> None:
    assert entity_called(name) is ENTITIES[entity]


@pytest.mark.parametrize("name", ["", "contacts", "purchase_orders", "product\x00", "p"])
def test_what_names_no_entity_is_none(name: str) -> None:
    assert entity_called(name) is None


def test_no_two_entities_share_a_name() -> None:
    for entity in ENTITIES.values():
        assert entity_called(entity.name) is entity_called(entity.title) is entity
