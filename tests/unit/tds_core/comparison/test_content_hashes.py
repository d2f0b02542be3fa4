"""One hash for one content, however it is spelled; buckets that no order, and no doubling, deceives."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.comparison.content_hashes import (
    BUCKETS,
    BUCKETS_OF_MANY,
    BucketSums,
    bucket_of,
    compared_names,
    content_hash,
    have_same_content,
    reads_details,
)
from tds_models.entities import ENTITIES

PRODUCT = ENTITIES["product"]
MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_what_lists_show_is_compared_and_all_of_what_is_read_in_detail() -> None:
    assert "price" in compared_names(PRODUCT)
    assert "category_id" not in compared_names(PRODUCT)
    assert [name for name, entity in ENTITIES.items() if reads_details(entity)] == [
        "location", "price_list", "stock_level",
    ]  # fmt: skip
    assert set(ENTITIES["price_list"].line_tables) <= set(compared_names(ENTITIES["price_list"]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"price": Decimal("10.50")}, {"price": Decimal("10.5")}),
        ({"name": None}, {}),
        ({"source_created_at": MOMENT}, {"source_created_at": MOMENT.astimezone(timezone(timedelta(hours=3)))}),
        ({"custom_fields": {"a": 1, "b": ""}}, {"custom_fields": {"a": Decimal("1.0")}}),
        ({"category_id": "1"}, {"category_id": "2"}),  # no list shows it
    ],
)
def test_one_content_has_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert content_hash(PRODUCT, "1", one) == content_hash(PRODUCT, "1", other)
    assert have_same_content(PRODUCT, one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"price": Decimal("10.50")}, {"price": Decimal("10.501")}),
        ({"name": "Bolt"}, {"name": "Bolt "}),
        ({"name": "\u00e9"}, {"name": "e\u0301"}),  # composed and decomposed
        ({"name": "5"}, {"sku": "5"}),
        ({"is_returnable": True}, {"is_returnable": False}),
    ],
)
def test_other_content_has_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert content_hash(PRODUCT, "1", one) != content_hash(PRODUCT, "1", other)
    assert not have_same_content(PRODUCT, one, other)


NUMBERS = st.sampled_from([Decimal(text) for text in ("0", "-0", "0.00", "1", "1.0", "1E+1", "10", "0.1", "-0.10")])
SCALARS = (
    st.none() | st.booleans() | st.sampled_from(["", " ", "1", "true", "é", "e\u0301"]) | NUMBERS | st.integers(0, 2)
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "price": NUMBERS | st.none(),
        "name": st.sampled_from(["", " ", "1", "a", "A"]) | st.none(),
        "is_returnable": st.booleans() | st.none(),
        "source_created_at": st.sampled_from([MOMENT, MOMENT.astimezone(timezone(timedelta(hours=3))), None]),
        "custom_fields": st.none() | st.dictionaries(st.sampled_from("ab"), SCALARS | st.lists(SCALARS, max_size=2)),
    },
)


@given(VALUES, VALUES)
def test_two_records_have_one_content_when_they_have_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    is_one_hash = content_hash(PRODUCT, "1", one) == content_hash(PRODUCT, "1", other)
    assert have_same_content(PRODUCT, one, other) == is_one_hash


def test_the_record_is_part_of_its_hash() -> None:
    assert content_hash(PRODUCT, "1", {"name": "Bolt"}) != content_hash(PRODUCT, "2", {"name": "Bolt"})


RECORDS = st.dictionaries(
    st.text("0123456789", min_size=1, max_size=6), st.binary(min_size=16, max_size=16), max_size=30
)


def root(records: list[tuple[str, bytes]]) -> bytes:
    sums = BucketSums.of_size(10)
    sums.add(records)
    return sums.root(PRODUCT)


@given(RECORDS, st.randoms())
def test_the_order_of_records_does_not_matter(records: dict[str, bytes], chance: Any) -> None:
    shuffled = list(records.items())
    chance.shuffle(shuffled)
    assert root(shuffled) == root(list(records.items()))


@given(RECORDS.filter(bool), st.data())
def test_one_record_more_less_or_doubled_makes_another_root(records: dict[str, bytes], data: st.DataObject) -> None:
    whole = list(records.items())
    one = data.draw(st.sampled_from(whole))
    assert root([*whole, one]) != root(whole)
    assert root([*whole, one, one]) != root(whole)  # an exclusive or would cancel the two
    assert root([each for each in whole if each is not one]) != root(whole)


def test_many_records_have_more_buckets() -> None:
    assert len(BucketSums.of_size(100_000).counts) == BUCKETS
    assert len(BucketSums.of_size(100_001).counts) == BUCKETS_OF_MANY
    assert len({bucket_of(str(n), BUCKETS) for n in range(5000)}) == BUCKETS
