"""Answers are split into records without touching their bytes; broken and strange ones are told apart."""

import pytest

from tds_core.errors import ContractError, TransientError, UnexpectedAnswerError
from tds_core.sources.zoho.responses import read_page, read_record
from tds_models.entities import ENTITIES
from tests.support.world import at

STREAM = ENTITIES["product"].stream


def test_rows_keep_their_bytes_and_their_long_ids() -> None:
    row = b'{ "item_id" : 9223372036854775807 , "rate":1.10,"last_modified_time":"2026-11-01T15:00:07+0300"}'
    page = read_page(STREAM, b'{"code":0,"items":[' + row + b'],"page_context":{"has_more_page":true}}')
    assert page.has_more
    assert [(r.source_id, r.modified_at, r.raw) for r in page.rows] == [("9223372036854775807", at(7), row)]


@pytest.mark.parametrize("context", [b"", b',"page_context":null', b',"page_context":{}', b',"page_context":[]'])
@pytest.mark.parametrize(("row_count", "has_more"), [(0, False), (1, False), (2, True), (3, False)])
def test_of_a_list_without_a_page_context_a_full_page_may_have_another_behind_it(
    context: bytes, row_count: int, has_more: bool
) -> None:
    rows = b",".join(b'{"item_id":"%d"}' % number for number in range(row_count))
    page = read_page(STREAM, b'{"items":[' + rows + b"]" + context + b"}", page_size=2)
    assert page.has_more is has_more


GOOD = b'{"item_id":"1","last_modified_time":"2026-11-01T15:00:07+0300"}'
#: Rows that are nobody's.
STRANGE = [
    b"null", b"5", b'"text, with ]}"', b"[]", b"{}", b'{"name":"no id"}', b'{"item_id":null}', b'{"item_id":9.1e3}',
    b'{"item_id":{}}', b'{"item_id":[1]}', b'{"item_id":true}', b'{"item_id":""}', b'{"item_id":"a b"}',
    b'{"item_id":"' + b"9" * 65 + b'"}', rb'{"item_id":"\u0000"}', b'{"item_id":NaN}',
]  # fmt: skip
#: Rows with an id, of which something else cannot be read.
UNREADABLE = [
    rb'{"item_id":"2","name":"\ud83d"}', rb'{"item_id":"2","name":"\ude00]"}', b'{"item_id":"2","rate":NaN}',
    b'{"item_id":"2","rate":-Infinity}', b'{"item_id":2,"name":"\xff"}', b'{"item_id":"2","name":"a\nb"}',
    b'{"item_id":"2","last_modified_time":"2026-11-21"}', b'{"item_id":"2","last_modified_time":1763712000}',
    b'{"item_id":"2","last_modified_time":"soon"}', b'{"item_id":"2","last_modified_time":{"at":1}}',
    b'{"item_id":"2","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("row", STRANGE)
def test_a_row_that_is_nobodys_is_reported_and_stops_no_other(row: bytes) -> None:
    page = read_page(STREAM, b'{"items":[' + row + b" , " + GOOD + b'],"page_context":{"has_more_page":true}}')
    assert [(found.source_id, found.modified_at) for found in page.rows] == [("1", at(7))]
    assert (len(page.strange), page.has_more) == (1, True)


@pytest.mark.parametrize("row", UNREADABLE)
def test_a_row_that_cannot_be_read_is_its_records_and_stops_no_other(row: bytes) -> None:
    page = read_page(STREAM, b'{"items":[' + GOOD + b"," + row + b'],"page_context":{"has_more_page":false}}')
    assert [(found.source_id, found.modified_at) for found in page.rows] == [("1", at(7)), ("2", None)]
    assert (page.rows[1].raw, list(page.strange), page.has_more) == (row, [], False)


@pytest.mark.parametrize("row", [rb'{"item_id":"2","name":"\ud83d"}', b'{"item_id":"2","rate":NaN}'])
def test_a_detail_that_cannot_be_read_is_the_record_that_was_asked_for(row: bytes) -> None:
    assert read_record(STREAM, b'{"code":0,"item":' + row + b"}", "2") == row
    with pytest.raises(UnexpectedAnswerError):
        read_record(STREAM, b'{"code":0,"item":' + row + b"}", "3")


def test_rows_none_of_which_has_an_id_are_not_this_streams() -> None:
    with pytest.raises(ContractError, match="all 20 rows"):
        read_page(STREAM, b'{"items":[' + b",".join([b'{"id":"1"}'] * 20) + b"]}")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items":[{"item_id":"1"}', b'{"items":[{"item_id":"1"'])
def test_a_broken_answer_may_pass(body: bytes) -> None:
    with pytest.raises(TransientError):
        read_page(STREAM, body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"items":{}}',
    ],
)
def test_an_answer_of_another_shape_breaks_the_contract(body: bytes) -> None:
    with pytest.raises(ContractError):
        read_page(STREAM, body)


def test_a_record_without_a_time_has_none() -> None:
    page = read_page(STREAM, b'{"items":[{"item_id":"1"},{"item_id":"2","last_modified_time":""}]}')
    assert [row.modified_at for row in page.rows] == [None, None]


def test_a_detail_is_what_stands_under_its_key() -> None:
    assert read_record(STREAM, b'{"code":0,"item":{"item_id":"1" }}', "1") == b'{"item_id":"1" }'
    long = b'{"item_id":1783541000000012345}'
    assert read_record(STREAM, b'{"item":' + long + b"}", "1783541000000012345") == long


@pytest.mark.parametrize("body", [
    b'{"code":0,"message":"success"}', b'{"code":0,"message":"success","item":null}',
    b'{"code":0,"message":"success","item":[]}', b'{"code":0,"message":"success","item":{}}',
    b'{"code":0,"message":"success","invoice":{"invoice_id":"1"}}',
])  # fmt: skip
def test_an_answer_without_the_record_keeps_what_it_says(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError, match="it says: success"):
        read_record(STREAM, body, "1")


def test_another_record_than_was_asked_for_is_named_and_not_taken() -> None:
    with pytest.raises(UnexpectedAnswerError, match="asked for item 1, was answered with 2"):
        read_record(STREAM, b'{"code":0,"item":{"item_id":"2"}}', "1")
