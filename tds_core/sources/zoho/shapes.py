"""The shapes of Zoho's answers for one stream: split into raw records without building what is not needed."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from tds_core.sources.base import ListedRow, Page
from tds_core.sources.errors import SourceError, TransientError, UnexpectedAnswerError
from tds_core.sources.zoho.answers import envelope_of
from tds_core.sources.zoho.json_parts import elements, members
from tds_models.entity import Stream
from tds_models.fields import read_instant


class PageContext(msgspec.Struct):
    """The part of `page_context` that matters; some lists come without it."""

    has_more_page: bool | None = None
    per_page: int | None = None
    sort_column: str | None = None


#: Ids as they are taken: text without blanks that an index can hold, or a whole number.
_ID = re.compile(r"[!-~]{1,64}")
_NUMBER = re.compile(rb"[0-9]{1,40}")
# So many rows, and none of them with an id, are no rows of this stream.
ROWS_OF_ANOTHER_SHAPE = 20


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


def read_page(stream: Stream, body: bytes, *, page_size: int = 0) -> Page:
    """Split a list answer into its rows.

    Raises `TransientError` for a broken body, `UnexpectedAnswerError` for a strange one.

    A row that cannot be read is a row all the same, whatever is wrong with it, as long as it has an id; those without
    are told in `strange`. An answer that does not say whether more follows has more when it has `page_size` rows.
    """
    try:
        return _whole_page(stream, body, page_size)
    except (ValueError, RecursionError) as error:  # one row is enough, so they are read one by one
        return _page_in_parts(stream, body, page_size, error)


def _whole_page(stream: Stream, body: bytes, page_size: int) -> Page:
    listing = _list_decoder(stream.list_key).decode(body)
    heads = _head_decoder(stream.list_key, stream.id_key, stream.modified_key).decode(body).rows
    ids = [str(head.id) for head in heads]
    if not all(map(_ID.fullmatch, ids)):
        raise ValueError("an id that is none")
    times = [read_instant(head.modified) if head.modified else None for head in heads]
    rows = list(map(ListedRow, ids, times, map(bytes, listing.rows)))
    return _page(rows, listing.context or PageContext(), len(rows), page_size)


def _page(
    rows: Sequence[ListedRow], context: PageContext, count: int, page_size: int, strange: Sequence[str] = ()
) -> Page:
    has_more = context.has_more_page
    if has_more is None:  # a list that does not page may send more at once than it was asked for
        has_more = page_size > 0 and count == (context.per_page or page_size)
    ordered_by = context.sort_column or None
    return Page(rows, has_more, ordered_by=ordered_by, strange=strange)


def _page_in_parts(stream: Stream, body: bytes, page_size: int, error: Exception) -> Page:
    try:
        found = members(body)
    except ValueError:
        raise _named(error, body) from None
    try:
        raws = elements(found.get(stream.list_key, b""))
    except ValueError:
        raise _named(error, body) from None
    rows, strange = [], []
    for raw in raws:
        try:
            rows.append(_row(stream, raw))
        except ValueError as unlike:
            strange.append(str(unlike))
    if not rows and len(strange) >= ROWS_OF_ANOTHER_SHAPE:
        raise UnexpectedAnswerError(f"an answer of another shape: {strange[0]}, and so with all {len(strange)} rows")
    return _page(rows, _context(found.get("page_context", b"null")), len(raws), page_size, strange)


def _row(stream: Stream, raw: bytes) -> ListedRow:
    """A row by its id and, where it can be read, its time. Raises `ValueError` without a usable id."""
    try:
        found = members(raw)
    except ValueError:
        raise ValueError("a row that is no object") from None
    source_id = _source_id(found.get(stream.id_key), stream.id_key)
    return ListedRow(source_id, _moment(found.get(stream.modified_key or "")), raw)


def _source_id(spelled: bytes | None, key: str) -> str:
    if spelled is None:
        raise ValueError(f"a row without {key}")
    if _NUMBER.fullmatch(spelled):
        return spelled.decode()
    with suppress(ValueError):
        text = msgspec.json.decode(spelled, type=str)
        if _ID.fullmatch(text):
            return text
    kind = {b"n": "null", b"{": "an object", b"[": "a list", b'"': "another text", b"t": "true", b"f": "false"}
    raise ValueError(f"{key}: expected an id (1 to 64 characters or a whole number), got"
                     f" {kind.get(spelled[:1], 'another number')}")  # fmt: skip


def _moment(spelled: bytes | None) -> datetime | None:
    with suppress(ValueError):
        text = msgspec.json.decode(spelled or b"null", type=str | None)
        return read_instant(text) if text else None
    return None


def _context(spelled: bytes) -> PageContext:
    with suppress(ValueError):
        return msgspec.json.decode(spelled, type=PageContext | None, strict=False) or PageContext()
    return PageContext()


def read_record(stream: Stream, body: bytes, source_id: str) -> bytes:
    """The record inside the answer to the question for `source_id`, as it came.

    Raises `UnexpectedAnswerError` when there is none, or another one.
    """
    try:
        record = bytes(_record_decoder(stream.record_key).decode(body).record)
        found = str(_id_decoder(stream.id_key).decode(record).id)
    except (ValueError, RecursionError) as error:
        record, found = _record_in_parts(stream, body, error)
    if found != source_id:
        raise UnexpectedAnswerError(
            f"asked for {stream.record_key} {source_id[:64]}, was answered with {found[:64]}: neither was touched"
        )
    return record


def _record_in_parts(stream: Stream, body: bytes, error: Exception) -> tuple[bytes, str]:
    """The record in an answer that cannot be read as a whole, and its id."""
    try:
        record = members(body)[stream.record_key]
        return record, _source_id(members(record).get(stream.id_key), stream.id_key)
    except (ValueError, KeyError):
        raise _named(error, body) from None


def _named(error: Exception, body: bytes) -> SourceError:
    if isinstance(error, msgspec.ValidationError):
        said = envelope_of(body).message or body[:120].decode("utf-8", "replace")
        return UnexpectedAnswerError(f"an answer without what was asked for ({error}); it says: {said[:300]}")
    return TransientError(f"a broken answer: {error}")
