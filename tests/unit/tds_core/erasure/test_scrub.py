"""Scrubbing finds a person's values by key and as whole words, and leaves everything else as it was."""

from decimal import Decimal
from typing import Any

import pytest

from tds_core.erasure.scrub import MARK, Scrubber, blank, document_scrubber, own_scrubber, pattern_of, variants_of
from tds_models.entities import ENTITIES

VALUES = ("Ann Lee", "Ann", "ann@example.com", "+964 770 1234567", "سلوى")
INVOICE = document_scrubber(ENTITIES["invoice"], VALUES)
CUSTOMER = own_scrubber(ENTITIES["customer"], VALUES)


@pytest.mark.parametrize(("said", "left"), [
    ("for ANN LEE, today", "for (erased), today"),
    ("Anna has an annex", "Anna has an annex"),
    ("Ann.", "(erased)."),
    ("mail ann@example.com.", "mail (erased)."),
    ("call +964 770 1234567", "call (erased)"),
    ("لـ سلوى", "لـ (erased)"),
    ("", ""),
    (None, None),
    (True, True),
    (Decimal("12.50"), Decimal("12.50")),
])  # fmt: skip
def test_values_are_erased_as_whole_words(said: Any, left: Any) -> None:
    assert Scrubber(pattern_of(VALUES)).value(said) == left


def test_without_values_nothing_is_found() -> None:
    assert pattern_of(()) is None
    assert Scrubber(None).value({"a": ["Ann"]}) == {"a": ["Ann"]}


def test_a_document_loses_what_it_copies_of_the_contact() -> None:
    invoice = {
        "customer_id": "Ann", "customer_name": "Somebody", "status": "Ann", "total": Decimal("7.10"),
        "billing_address": {"city": "Baghdad", "zip": None}, "notes": "for Ann",
        "line_items": [{"name": "Chair", "description": "Ann's"}],
    }  # fmt: skip
    assert INVOICE.record(invoice) == {
        "customer_id": "Ann", "customer_name": MARK, "status": "Ann", "total": Decimal("7.10"),
        "billing_address": {"city": MARK, "zip": None}, "notes": "for (erased)",
        "line_items": [{"name": "Chair", "description": "(erased)'s"}],
    }  # fmt: skip


def test_of_the_persons_own_record_only_what_is_declared_and_not_personal_stays() -> None:
    record = {"contact_id": "1", "contact_name": "X", "email": "y", "payment_terms": 30, "unheard_of": {"a": [1, True]},
              "contact_type": "customer", "last_modified_time": "2026-11-01T00:00:00Z", "phone": ""}  # fmt: skip
    assert CUSTOMER.record(record) == {
        **record, "contact_name": MARK, "email": MARK, "unheard_of": {"a": [MARK, True]},
    }  # fmt: skip


def test_history_keeps_its_shape() -> None:
    changes = {"email": [None, "a@b.c"], "payment_terms": [15, 30], "custom_fields": [{}, {"cf_x": "y"}]}
    assert CUSTOMER.value(changes) == {
        "email": [None, MARK], "payment_terms": [15, 30], "custom_fields": [{}, {"cf_x": MARK}],
    }  # fmt: skip


def test_differences_name_their_field_beside_the_values() -> None:
    fields = [{"field": "email", "here": "x", "there": None}, {"field": "total", "here": "1", "there": "2"}]
    assert CUSTOMER.value(fields) == [{"field": "email", "here": MARK, "there": None}, fields[1]]


def test_scrubbing_twice_is_scrubbing_once() -> None:
    once = CUSTOMER.record({"contact_name": "Ann Lee", "notes": ["Ann", 3]})
    assert CUSTOMER.record(once) == once
    assert blank(once) == {"contact_name": MARK, "notes": [MARK, MARK]}


def test_bodies_spell_values_in_more_than_one_way() -> None:
    assert {"سلوى", "\\u0633\\u0644\\u0648\\u0649", "%D8%B3%D9%84%D9%88%D9%89"} <= set(variants_of(["سلوى"]))
    assert variants_of(["Ann Lee"])[0] in {"Ann Lee", "Ann+Lee"}
