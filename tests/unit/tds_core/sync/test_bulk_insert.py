"""Read side by side, records have the values they have when read one by one."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.records.source_record import read_record
from tds_core.records.transform import Candidate, Provenance, RecordView, missing_values, transform
from tds_core.sync.bulk_insert import _spell, read_column
from tds_models.entities import ENTITIES
from tds_models.entities.fields import integer, number, text

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["", "0", "0.0", "1", "1.0", "true", "1,5", "a", "2026-11-22", "2026-11-22T09:30:00+0300"])
    | st.decimals(-2, 2, places=1).map(lambda value: msgspec.Raw(str(value).encode())),
    lambda nested: st.dictionaries(st.sampled_from(["cf_a", "b"]), nested, max_size=2) | st.lists(nested, max_size=2),
    max_leaves=3,
)

# Of one type, as most columns are: what stands as it is, and what must not.
TEXTS = st.sampled_from(
    ["bolt", "", " ", 'a"b', "a\\b", "x\ny", "z\tz", "ż\u0645", "\u200f", "\x7f", "a" * 200, "a" * 201]
)
NUMBERS = st.sampled_from(["1.0", "1.00", "0.0", "-2.5", "1e5", "1e30", "1e31", "1e-30", "1e-31"]).map(
    lambda spelled: msgspec.Raw(spelled.encode())
)
RAWS = st.one_of(st.lists(each, min_size=1, max_size=6) for each in (ANYTHING, TEXTS, NUMBERS))


def test_values_that_only_look_equal_keep_what_tells_them_apart() -> None:
    raws = [1, Decimal("1.0"), Decimal("1.00"), "1", "1.0"]
    records = [{"rate": raw} for raw in raws]
    assert list(read_column(number("price", "rate"), records).texts) == ["1", "1.0", "1.00", "1", "1.0"]
    records = [{"sku": raw} for raw in [1, True, "1", Decimal("1.5"), "", None]]
    assert list(read_column(text("sku"), records).values) == ["1", "true", "1", "1.5", None, None]


def test_one_wrong_value_among_many_is_no_less_wrong_and_costs_no_other() -> None:
    records = [{"days": 1}] * 50 + [{"days": True}] + [{"days": 1}] * 50
    column = read_column(integer("days"), records)
    assert list(column.values) == [1] * 50 + [None] + [1] * 50
    assert {place: flaw.reason for place, flaw in column.flaws.items()} == {50: "expected a number, got bool"}


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
@given(raws=RAWS)
def test_every_column_reads_what_a_record_alone_reads(entity: Any, raws: list[Any]) -> None:
    for field in entity.fields:
        records = [msgspec.json.encode({entity.stream.id_key: "1", field.key: raw}) for raw in raws]
        alone = [_alone(entity, each) for each in records]
        column = read_column(field, [read_record(each).members for each in records])
        values = [each.values.get(field.name) for each in alone]
        assert [(type(each), str(each)) for each in column.values] == [(type(each), str(each)) for each in values]
        # That a required value is missing is no flaw of the value: `_flaws` adds it, as `missing_values` does here.
        own = [[flaw for flaw in each.flaws if flaw not in missing_values([field], each.values, ())] for each in alone]
        assert [[column.flaws[place]] if place in column.flaws else [] for place in range(len(raws))] == own
        assert [*zip(column.texts, column.history_entries, strict=True)] == [_spell(field, value) for value in values]


def _alone(entity: Any, record: bytes) -> Candidate:
    return transform(entity, record, view=RecordView.LIST, provenance=Provenance("test"))
