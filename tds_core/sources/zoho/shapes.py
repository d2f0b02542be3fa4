"""The shapes of Zoho's answers for one stream: split into raw records without building what is not needed."""

from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from tds_core.sources.base import ListedRow, Page
from tds_core.sources.errors import ContractError, TransientError, UnexpectedAnswerError
from tds_core.sources.zoho.answers import envelope_of
from tds_models.entity import Stream
from tds_models.fields import read_instant


class PageContext(msgspec.Struct):
    """The part of `page_context` that matters; some lists come without it, as a single page."""

    has_more_page: bool | None = None


@cache
def _list_decoder(list_key: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(
        msgspec.defstruct(
            "Listing",
            [("rows", list[msgspec.Raw]), ("context", PageContext | None, None)],
            rename={"rows": list_key, "context": "page_context"},
        )
    )


@cache
def _head_decoder(list_key: str, id_key: str, modified_key: str | None) -> msgspec.json.Decoder[Any]:
    """Reads the ids and modification times of a list's records and skips everything else."""
    head: Any = msgspec.defstruct(
        "Head",
        [("id", str | int), ("modified", str | None, None)],
        rename={"id": id_key, "modified": modified_key or "no time of change"},
    )
    return msgspec.json.Decoder(msgspec.defstruct("Heads", [("rows", list[head])], rename={"rows": list_key}))


@cache
def _record_decoder(record_key: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Detail", [("record", msgspec.Raw)], rename={"record": record_key}))


@cache
def _id_decoder(id_key: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Named", [("id", str | int)], rename={"id": id_key}))


def read_page(stream: Stream, body: bytes, list_key: str | None = None) -> Page:
    """Split a list answer into its rows.

    Raises `TransientError` for a broken body, `UnexpectedAnswerError` for a strange one.
    """
    key = list_key or stream.list_key
    listing = _decode(_list_decoder(key), body)
    heads = _decode(_head_decoder(key, stream.id_key, stream.modified_key), body).rows
    rows = [
        ListedRow(str(head.id), _moment(head.modified), bytes(raw))
        for head, raw in zip(heads, listing.rows, strict=True)
    ]
    has_more = listing.context.has_more_page if listing.context else None
    return Page(rows, bool(has_more), said_end=has_more is not None or not stream.paged)


def read_record(stream: Stream, body: bytes, source_id: str) -> bytes:
    """The record inside the answer to the question for `source_id`, as it came.

    Raises `UnexpectedAnswerError` when there is none, or another one.
    """
    record = _decode(_record_decoder(stream.record_key), body).record
    found = str(_decode(_id_decoder(stream.id_key), record, body).id)
    if found != source_id:
        raise UnexpectedAnswerError(
            f"asked for {stream.record_key} {source_id[:64]}, was answered with {found[:64]}: neither was touched"
        )
    return bytes(record)


def _moment(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        return read_instant(value)
    except ValueError:
        raise ContractError(f"not a time: {value[:40]!r}") from None


def _decode(decoder: msgspec.json.Decoder[Any], part: bytes | msgspec.Raw, body: bytes | None = None) -> Any:
    """Read `part` of an answer whose whole is `body`."""
    try:
        return decoder.decode(part)
    except msgspec.ValidationError as error:
        whole = bytes(part) if body is None else body
        said = envelope_of(whole).message or whole[:120].decode("utf-8", "replace")
        raise UnexpectedAnswerError(f"an answer without what was asked for ({error}); it says: {said[:300]}") from None
    except msgspec.DecodeError as error:
        raise TransientError(f"a broken answer: {error}") from None
