"""Answers are split into records without touching their bytes; broken and strange ones are told apart."""

import pytest

from tds_core.sources.errors import ContractError, TransientError, UnexpectedAnswerError
from tds_core.sources.zoho.shapes import read_page, read_record
from tds_models.entities import ENTITIES
from tests.world import at

STREAM = ENTITIES["product"].stream


def test_rows_keep_their_bytes_and_their_long_ids() -> None:
    row = b'{ "item_id" : 9223372036854775807 , "rate":1.10,"last_modified_time":"2026-11-01T15:00:07+0300"}'
    page = read_page(STREAM, b'{"code":0,"items":[' + row + b'],"page_context":{"has_more_page":true}}')
    assert page.has_more
    assert [(r.source_id, r.modified_at, r.raw) for r in page.rows] == [("9223372036854775807", at(7), row)]


@pytest.mark.parametrize("context", [b"", b',"page_context":null', b',"page_context":{}'])
def test_a_list_without_a_page_context_is_a_single_page(context: bytes) -> None:
    assert not read_page(STREAM, b'{"items":[]' + context + b"}").has_more


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
        b'{"items":[{"name":"no id"}]}',
        b'{"items":[{"item_id":"1","last_modified_time":"soon"}]}',
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
