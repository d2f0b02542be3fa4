"""Zoho's responses: receiving a body within limits of time and size, errors by status and code, records of pages.

Pages and records stay raw JSON; only ids and times are decoded.
"""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import requests
from urllib3.exceptions import HTTPError

from tds_core.errors import (
    AuthError,
    ContractError,
    PermanentError,
    QuotaError,
    RateError,
    SourceError,
    TransientError,
    UnexpectedAnswerError,
)
from tds_core.sources.base import ListedRow, ListPage
from tds_core.sources.zoho.json_splitter import elements, members
from tds_models.entities.declaration import Stream
from tds_models.entities.field_values import read_instant

#: Zoho's own codes. They decide, whatever the HTTP status: errors also come inside a 200.
NO_SUCH_RECORD = frozenset({1002, 2006})
TOKEN_REFUSED = frozenset({14, 57})
MINUTE_BLOCKED, DAY_SPENT, TOO_MANY_AT_ONCE = 44, 45, 1070
LIMITS = frozenset({MINUTE_BLOCKED, DAY_SPENT, TOO_MANY_AT_ONCE})
INTERNAL_ERROR = 1000
INVALID_VALUE = 2
INVALID_URL = 5
UNKNOWN_ORGANIZATION = 6041
NAME_TAKEN = 107051
CHECK_ORGANIZATION = "Check ZOHO_ORGANIZATION_ID and the user who connected TDS."
#: TDS's own code for a body that is not JSON.
BROKEN = -1
# Zoho does not document how long it blocks after too many calls in a minute; integrators wait a minute.
MINUTE_BLOCK_SECONDS = 60.0
CONCURRENCY_WAIT_SECONDS = 1.0
# Longest wait after the day's quota is used up when Zoho does not state when it resets.
LONGEST_UNKNOWN_RESET_SECONDS = 3600.0


class ResponseStatus(msgspec.Struct):
    """The members every JSON response of Zoho has; `code` is None if missing or unreadable."""

    code: int | None = None
    message: str | None = None


class NoSuchRecordError(SourceError):
    """Zoho has no record of this id."""

    code = "not_found"


class TokenRefusedError(SourceError):
    """Zoho refused the access token: it ended early, was revoked, or lacks a scope."""

    code = "token_refused"


class OrganizationRefusedError(AuthError):
    """The user who connected TDS does not belong to the organisation, or lacks the right to this part of it."""


class ScopeError(AuthError):
    """The connection lacks the scopes for setting up webhooks."""


class InvalidValueError(PermanentError):
    """Zoho rejects the value of a parameter."""


class NameTakenError(PermanentError):
    """Another record of its kind has this name."""


# Parses the whole body without building the rest, so it also detects broken JSON.
_status_decoder = msgspec.json.Decoder(ResponseStatus, strict=False)
_REFUSALS: dict[int | None, type[SourceError]] = {
    NAME_TAKEN: NameTakenError,
    INVALID_VALUE: InvalidValueError,
    INVALID_URL: ContractError,
    # Without a code of Zoho's the response came from a gateway or firewall.
    None: UnexpectedAnswerError,
    BROKEN: UnexpectedAnswerError,
}


def status_of(body: bytes) -> ResponseStatus:
    """The code and message of a response."""
    try:
        return _status_decoder.decode(body)
    except msgspec.ValidationError:
        return ResponseStatus()
    except (msgspec.DecodeError, RecursionError) as error:
        return _status_in_parts(body, error)


def _status_in_parts(body: bytes, error: Exception) -> ResponseStatus:
    """The same from a body with unreadable values, which concern only their records; a truncated body is BROKEN."""
    try:
        values = members(body)
        return _status_decoder.decode(
            b'{"code":%b,"message":%b}' % (values.get("code", b"null"), values.get("message", b"null"))
        )
    except ValueError:
        return ResponseStatus(BROKEN, f"{error} in {body[:120]!r}")


def check(status: int, body: bytes, headers: dict[str, str], *, now: datetime) -> None:
    """Return if the response is good, else raise the `SourceError` it stands for. `headers`: lower-case names."""
    judge(status, status_of(body), headers, now=now)


def judge(status: int, found: ResponseStatus, headers: dict[str, str], *, now: datetime) -> None:
    """See `check`; for a caller that has read the status of the body already."""
    code, is_good = found.code, status in (200, 201)
    if is_good and code in (None, 0):
        return
    if is_good and code == BROKEN:
        raise TransientError(f"a broken answer: {found.message}")
    message = f"HTTP {status}, code {BROKEN if code is None else code}: {(found.message or '')[:300]}"
    if status == 429 or code in LIMITS:
        raise _limit(code, message, headers, now)
    if status == 401 or code in TOKEN_REFUSED:
        raise TokenRefusedError(message)
    # Before the codes of single records: a failing server may return any of them.
    if status >= 500 or status == 408 or code == INTERNAL_ERROR:
        raise TransientError(message)
    if code in NO_SUCH_RECORD:
        raise NoSuchRecordError(message)
    if code == UNKNOWN_ORGANIZATION:
        raise OrganizationRefusedError(f"{message} {CHECK_ORGANIZATION}", after_seconds=60)
    raise _REFUSALS.get(code, PermanentError)(message)


def _limit(code: int | None, message: str, headers: dict[str, str], now: datetime) -> SourceError:
    """The error of one of three limits. Zoho sends no Retry-After; should it ever come, it is honoured."""
    retry_after = _seconds(headers.get("retry-after"))
    if code == DAY_SPENT:
        return QuotaError(
            message, after_seconds=retry_after or _seconds(headers.get("x-rate-limit-reset")) or _until_midnight(now)
        )
    if code == TOO_MANY_AT_ONCE:
        return RateError(message, after_seconds=retry_after or CONCURRENCY_WAIT_SECONDS)
    return RateError(message, after_seconds=retry_after or MINUTE_BLOCK_SECONDS)


def _until_midnight(now: datetime) -> float:
    """Seconds to the next midnight UTC, an hour at most: when the daily count starts again is not documented."""
    tomorrow = (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(LONGEST_UNKNOWN_RESET_SECONDS, (tomorrow - now).total_seconds())


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


#: Largest chunk read at once; a page is a few of these.
CHUNK_BYTES = 1 << 18
#: A page of 200 documents is a few megabytes at most.
MOST_BYTES = 64 << 20


class TooLargeError(requests.RequestException):
    """The body is larger than 64 MiB."""


def receive(answer: requests.Response, *, within_seconds: float) -> bytes:
    """The whole body of `answer`, which was requested with `stream=True`.

    Raises `requests.RequestException`: the connection's errors, `Timeout` when the body has not ended in time (a read
    timeout alone only notices silence), and `TooLargeError`.
    """
    ends_at = time.monotonic() + within_seconds
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                raise TooLargeError(f"the answer is larger than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > ends_at:
                raise requests.Timeout(f"the answer did not end within {within_seconds:g} s")
    except HTTPError as error:
        answer.close()
        raise requests.ConnectionError(f"the answer broke off ({type(error).__name__})") from error
    except requests.RequestException:
        answer.close()
        raise
    return b"".join(chunks)


#: Causes of a failed call by words in its error; the error's own text is not shown, since it may quote the request.
_CAUSES = {
    "refused": "connection refused",
    "resolve": "its name is not known here",
    "Name or service": "its name is not known here",
    "CERTIFICATE": "its certificate is not trusted here",
    "ProxyError": "the proxy of HTTPS_PROXY did not let us through",
}


def no_answer(url: str, error: requests.RequestException) -> str:
    """The message for an address that did not respond, with the cause where it is known."""
    text = f"{type(error).__name__} {error}"
    cause = next((cause for word, cause in _CAUSES.items() if word in text), "")
    return f"{url}: no answer ({type(error).__name__}{f': {cause}' if cause else ''})"


class PageContext(msgspec.Struct):
    """The members of `page_context` TDS uses; some lists come without it."""

    has_more_page: bool | None = None
    per_page: int | None = None
    sort_column: str | None = None


#: Accepted ids: text without blanks that an index can hold, or a whole number.
_ID = re.compile(r"[!-~]{1,64}")
_NUMBER = re.compile(rb"[0-9]{1,40}")
# So many rows, all without an id, mean that the response is of another shape.
MIN_ROWS_WITHOUT_ID = 20


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


def read_page(stream: Stream, body: bytes, *, page_size: int = 0) -> ListPage:
    """Split a list response into its rows.

    A row with an id is kept even if other values are unreadable; rows without one are reported in `strange`. A response
    that does not state whether more follow has more if it holds `page_size` rows.
    Raises `TransientError` for a broken body, `UnexpectedAnswerError` for one of another shape.
    """
    try:
        return _whole_page(stream, body, page_size)
    except (ValueError, RecursionError) as error:  # one bad row suffices: read them one by one
        return _page_in_parts(stream, body, page_size, error)


def _whole_page(stream: Stream, body: bytes, page_size: int) -> ListPage:
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
) -> ListPage:
    has_more = context.has_more_page
    if has_more is None:  # a list without paging may send more rows than requested
        has_more = page_size > 0 and count == (context.per_page or page_size)
    ordered_by = context.sort_column or None
    return ListPage(rows, has_more, ordered_by=ordered_by, strange=strange)


def _page_in_parts(stream: Stream, body: bytes, page_size: int, error: Exception) -> ListPage:
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
    if not rows and len(strange) >= MIN_ROWS_WITHOUT_ID:
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
    """The raw record in the response to a read of `source_id`.

    Raises `UnexpectedAnswerError` if it holds no record, or another one.
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
        said = status_of(body).message or body[:120].decode("utf-8", "replace")
        return UnexpectedAnswerError(f"an answer without what was asked for ({error}); it says: {said[:300]}")
    return TransientError(f"a broken answer: {error}")
