"""Understanding a webhook: which record, which entity, how far the body can be used."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.inbox.receive import Delivery
from tds_core.sources.zoho.webhooks import errors
from tds_core.sources.zoho.webhooks.body import DEEPEST, is_form, is_too_deep
from tds_core.sources.zoho.webhooks.parser import parse
from tds_core.sources.zoho.webhooks.signature import pairs_of
from tests.support.webhook_sender import FORM, item, wrapped


def understood(
    body: bytes,
    *,
    entity: str | None = "product",
    event: str | None = "updated",
    content_type: str = "application/json",
    query: str = "",
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Delivery:
    form = pairs_of(body) if is_form(content_type, body) else None
    return parse(
        entity=entity, event=event, content_type=content_type, body=body, query=pairs_of(query.encode()), form=form,
        headers=headers or {}, correlation_id="c", method=method,
    )  # fmt: skip


def contact(**more: Any) -> bytes:
    whole = {
        "contact_id": "7",
        "contact_name": "A",
        "status": "active",
        "last_modified_time": "2026-11-22T09:30:00+0300",
    }
    return json.dumps({"contact": {**whole, **more}}).encode()


def test_a_whole_record_is_complete_and_knows_its_time() -> None:
    delivery = understood(wrapped("1"))
    assert (delivery.entity, delivery.event, delivery.source_id, delivery.complete) == ("product", "updated", "1", True)
    assert delivery.source_modified_at == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    assert json.loads(delivery.record) == item("1")


@pytest.mark.parametrize("key", ["name", "rate", "status", "last_modified_time"])
def test_a_record_that_lacks_a_needed_key_is_not_complete(key: str) -> None:
    record = item("1")
    del record[key]
    assert not understood(json.dumps({"item": record}).encode()).complete


@pytest.mark.parametrize("time", ["", None, "yesterday", "2026-11-22T09:30:00", 5, "9999-99-99T00:00:00+0000"])
def test_a_record_with_an_unreadable_time_is_read_from_the_source(time: Any) -> None:
    delivery = understood(wrapped("1", last_modified_time=time))
    assert (delivery.source_modified_at, delivery.complete) == (None, False)


@pytest.mark.parametrize(("given_id", "kept"), [
    ("460000000038080", "460000000038080"),
    (460000000038080, "460000000038080"),
    (9223372036854775807, "9223372036854775807"),
    (9999999999999999999, "9999999999999999999"),
    ("0042", "0042"),
])  # fmt: skip
def test_ids_keep_every_digit_as_text_or_number(given_id: Any, kept: str) -> None:
    assert understood(wrapped(given_id)).source_id == kept


@pytest.mark.parametrize("given_id", ["1.5", "4.6e18", "-1", "true", "null", "[1]", '{"a":1}', '""', '" 1"', '"a b"'])
def test_what_is_no_id_is_refused(given_id: str) -> None:
    with pytest.raises(errors.IdError):
        understood(b'{"item":{"item_id":%s,"name":"x"}}' % given_id.encode())


def test_a_flat_body_is_the_record_itself() -> None:
    delivery = understood(json.dumps(item("1")).encode())
    assert (delivery.source_id, delivery.complete) == ("1", True)


def test_a_json_string_field_is_the_body() -> None:
    body = urlencode({"JSONString": json.dumps({"item": item("1")})}).encode()
    delivery = understood(body, content_type=FORM)
    assert (delivery.source_id, delivery.complete) == ("1", True)


def test_chosen_form_fields_are_a_hint_and_never_the_whole_record() -> None:
    delivery = understood(urlencode(item("1")).encode(), content_type=FORM)
    assert (delivery.source_id, delivery.complete) == ("1", False)


def test_json_announced_as_a_form_is_read_as_json() -> None:
    assert understood(wrapped("1"), content_type=FORM).complete


@pytest.mark.parametrize(
    "content_type", ["", "application/json; charset=utf-8", "text/plain", "application/vnd.z+json"]
)
def test_json_by_any_of_its_names_is_read(content_type: str) -> None:
    assert understood(wrapped("1"), content_type=content_type).source_id == "1"


def test_a_byte_order_mark_is_passed_over() -> None:
    assert understood(b"\xef\xbb\xbf" + wrapped("1")).source_id == "1"


@pytest.mark.parametrize(("arguments", "expected"), [
    ({"query": "entity=item&event=deleted"}, ("product", "deleted")),
    ({"query": "entity=products&event=Created"}, ("product", "created")),
    ({"headers": {"X-TDS-Event": "product.deleted"}}, ("product", "deleted")),
    ({"headers": {"X-TDS-Event": "deleted"}}, ("product", "deleted")),
    ({}, ("product", "updated")),
])  # fmt: skip
def test_the_generic_address_finds_entity_and_event(arguments: Any, expected: tuple[str, str]) -> None:
    delivery = understood(wrapped("1"), entity=None, event=None, **arguments)
    assert (delivery.entity, delivery.event) == expected


@pytest.mark.parametrize("body", [
    {"event_type": "item.created", "item": {"item_id": "1"}},
    {"event_type": "item_created", "data": {"item_id": "1"}},
    {"event_type": "item.created", "event_id": "5", "data": {"item": {"item_id": "1"}}},
    {"event_type": "item.created", "item_id": "1"},
])  # fmt: skip
def test_an_event_type_in_the_body_names_entity_and_event(body: Any) -> None:
    delivery = understood(json.dumps(body).encode(), entity=None, event=None)
    assert (delivery.entity, delivery.event, delivery.source_id) == ("product", "created", "1")


def test_a_flat_record_is_recognised_by_its_id() -> None:
    assert understood(json.dumps(item("1")).encode(), entity=None, event=None).entity == "product"


def test_a_flat_record_with_several_ids_needs_a_name() -> None:
    body = json.dumps({"invoice_id": "1", "contact_id": "2"}).encode()
    with pytest.raises(errors.EntityUnclearError):
        understood(body, entity=None, event=None)
    assert understood(body, entity="invoice").source_id == "1"


@pytest.mark.parametrize("kind", ["customer", "vendor"])
def test_a_contact_becomes_what_its_type_says(kind: str) -> None:
    delivery = understood(contact(contact_type=kind), entity=None, event=None)
    assert (delivery.entity, delivery.complete) == (kind, True)
    assert understood(contact(contact_type=kind), entity="contact").entity == kind


def test_a_vendor_sent_to_the_customers_address_is_a_mismatch() -> None:
    with pytest.raises(errors.EntityMismatchError) as caught:
        understood(contact(contact_type="vendor"), entity="customer")
    assert (caught.value.entity, caught.value.event) == ("customer", "updated")


def test_a_contact_of_no_type_is_believed_by_its_address_and_read_from_the_source() -> None:
    delivery = understood(contact(), entity="customer")
    assert (delivery.entity, delivery.complete) == ("customer", False)
    with pytest.raises(errors.EntityUnclearError):
        understood(contact(), entity=None, event=None)


@pytest.mark.parametrize("kind", ["", " ", None, 5, [], {}, "person"])
def test_a_type_that_says_nothing_is_no_type(kind: object) -> None:
    delivery = understood(contact(contact_type=kind), entity="vendor")
    assert (delivery.entity, delivery.complete) == ("vendor", False)
    with pytest.raises(errors.EntityUnclearError):
        understood(contact(contact_type=kind), entity=None, event=None)


@pytest.mark.parametrize("kind", ["Vendor", " vendor ", "VENDOR"])
def test_a_type_is_known_however_it_is_spelled(kind: str) -> None:
    delivery = understood(contact(contact_type=kind), entity=None, event=None)
    assert (delivery.entity, delivery.complete) == ("vendor", True)
    with pytest.raises(errors.EntityMismatchError):
        understood(contact(contact_type=kind), entity="customer")


def test_a_body_of_another_entity_is_a_mismatch() -> None:
    with pytest.raises(errors.EntityMismatchError):
        understood(b'{"invoice":{"invoice_id":"1"}}')


@pytest.mark.parametrize(("entity", "event", "error"), [
    ("nothing", "updated", errors.UnknownWebhookEntityError),
    ("product", "eaten", errors.UnknownEventError),
])  # fmt: skip
def test_unknown_names_are_said(entity: str, event: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        understood(wrapped("1"), entity=entity, event=event)


def test_an_unmirrored_wrapper_is_an_unknown_entity() -> None:
    with pytest.raises(errors.UnknownWebhookEntityError):
        understood(b'{"package":{"package_id":"1"}}', entity=None, event=None)


def test_the_same_content_has_the_same_fingerprint_whether_created_or_updated() -> None:
    first, second = understood(wrapped("1"), event="created"), understood(wrapped("1"), event="updated")
    assert first.fingerprint == second.fingerprint
    assert understood(wrapped("1"), event="deleted").fingerprint != first.fingerprint
    assert understood(wrapped("2")).fingerprint != first.fingerprint
    assert understood(wrapped("1", name="Other")).fingerprint != first.fingerprint


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert understood(b'{"item":{"item_id":"1","name":"\\\\u0000"}}').source_id == "1"


def test_brackets_in_texts_do_not_count_as_depth() -> None:
    assert understood(wrapped("1", name="[" * 500)).source_id == "1"


@given(st.integers(0, 3 * DEEPEST))
def test_depth_is_reported_exactly(depth: int) -> None:
    assert is_too_deep(b"[" * depth + b"]" * depth) == (depth > DEEPEST)
    assert is_too_deep(b'{"a":' * depth + b"1" + b"}" * depth) == (depth > DEEPEST)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(st.one_of(st.binary(max_size=200), json_values.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_understood_or_refused_with_a_reason(body: bytes) -> None:
    for entity, event in (("product", "updated"), (None, None)):
        try:
            understood(body, entity=entity, event=event)
        except errors.NotUnderstoodError as error:
            assert str(error)


MARK = "\ufeff"


@pytest.mark.parametrize("content_type", [
    "Application/X-WWW-Form-Urlencoded",
    "APPLICATION/X-WWW-FORM-URLENCODED; CHARSET=UTF-8",
    " application/x-www-form-urlencoded ;charset=utf-8",
])  # fmt: skip
def test_a_form_is_a_form_in_any_case(content_type: str) -> None:
    body = urlencode({"JSONString": contact(contact_id="9", contact_type="customer").decode()}).encode()
    delivery = understood(body, entity="customer", content_type=content_type)
    assert (delivery.entity, delivery.source_id) == ("customer", "9")


def test_only_a_form_is_a_form() -> None:
    assert not is_form("application/x-www-form-urlencoded-not", b"a=1")
    assert not is_form("", b"a=1")


@pytest.mark.parametrize(("content_type", "body"), [
    ("application/json", MARK.encode() + wrapped("5")),
    (FORM, MARK.encode() + wrapped("5")),
    (FORM, urlencode({"JSONString": MARK + wrapped("5").decode()}).encode()),
    (FORM, MARK.encode() + urlencode({"JSONString": wrapped("5").decode()}).encode()),
    (FORM, urlencode({MARK + "JSONString": MARK + wrapped("5").decode()}).encode()),
])  # fmt: skip
def test_a_byte_order_mark_before_a_body_or_a_field_says_nothing(content_type: str, body: bytes) -> None:
    delivery = understood(body, content_type=content_type)
    assert (delivery.source_id, delivery.complete) == ("5", True)


@pytest.mark.parametrize(("method", "event", "query", "headers", "meant"), [
    ("DELETE", None, "", {}, "deleted"),
    ("DELETE", "updated", "", {}, "updated"),
    ("DELETE", None, "event=edited", {}, "updated"),
    ("DELETE", None, "", {"X-TDS-Event": "bill.created"}, "created"),
    ("PUT", None, "", {}, "updated"),
    ("PUT", "deleted", "", {}, "deleted"),
])  # fmt: skip
def test_delete_says_what_happened_where_the_address_does_not(
    method: str, event: str | None, query: str, headers: dict[str, str], meant: str
) -> None:
    body = json.dumps({"bill": {"bill_id": "77"}}).encode()
    delivery = understood(body, entity="bill", event=event, method=method, query=query, headers=headers)
    assert (delivery.entity, delivery.event, delivery.source_id) == ("bill", meant, "77")


def test_parameters_are_the_record_where_nothing_else_is_sent() -> None:
    delivery = understood(
        b"", entity=None, event=None, content_type="", method="DELETE", query="entity=bill&bill_id=77"
    )
    assert (delivery.entity, delivery.event, delivery.source_id, delivery.complete) == ("bill", "deleted", "77", False)


@pytest.mark.parametrize("query", ["", "entity=bill", "event=deleted"])
def test_nothing_at_all_is_still_an_empty_body(query: str) -> None:
    with pytest.raises(errors.BodyError, match="empty"):
        understood(b"", entity=None, event=None, query=query, method="DELETE")


def test_an_address_that_names_two_entities_names_none() -> None:
    assert understood(wrapped("1"), entity=None, event=None, query="entity=item&entity=item").entity == "product"
    with pytest.raises(errors.EntityUnclearError, match="more than once"):
        understood(wrapped("1"), entity=None, event=None, query="entity=item&entity=bill")


@pytest.mark.parametrize(
    ("body", "is_ours"),
    [
        (b'{"organization_id":"42","item":{"item_id":"1"}}', True),
        (b'{"organization_id":42,"item":{"item_id":"1"}}', True),
        (b'{"organization_id":"","item":{"item_id":"1","organization_id":null}}', True),
        (b'{"item":{"item_id":"1"}}', True),
        (b'{"organization_id":"7","item":{"item_id":"1"}}', False),
        (b'{"organization_id":7,"item":{"item_id":"1"}}', False),
        (b'{"item":{"item_id":"1","organization_id":"7"}}', False),
    ],
)
def test_a_body_that_names_another_organisation_is_not_taken(body: bytes, is_ours: bool) -> None:
    def take() -> str:
        return parse(
            entity="product", event="updated", content_type="application/json", body=body, query=(), form=None,
            headers={}, correlation_id="c", organization_id="42",
        ).source_id  # fmt: skip

    if is_ours:
        assert take() == "1"
    else:
        with pytest.raises(errors.OtherOrganizationRecordError, match="organisation 7, and this TDS mirrors 42"):
            take()
