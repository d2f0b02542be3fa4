"""Request bodies: read within a size limit, a deadline and a minimum rate, before anything is parsed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from flask import Flask, request

from tds_api.http.wsgi_adapter import BodyStream
from tds_core.sources.zoho.webhooks.errors import (
    BodiesCrowdedError,
    BodyCutShortError,
    BodyTooLargeError,
    BodyTooSlowError,
    WebhookRefusedError,
)

#: The largest body any route but the webhooks' takes; theirs is a setting.
LARGEST_BYTES = 1 << 20
#: A body must be complete within the deadline, and after the grace period come at this rate.
DEADLINE_SECONDS, GRACE_SECONDS, LEAST_BYTES_PER_SECOND = 30.0, 5.0, 1024
#: Limit for all larger bodies together that are being read.
MOST_BYTES_AT_ONCE = 64 << 20
# Up to this size a body is read in one piece: nearly all arrive with their headers.
_SMALL_BYTES = 1 << 16
# More digits of an announced length are cut off: Python refuses to convert thousands of them.
_LONGEST_LENGTH = 18
# A refused body is read and dropped for a moment, for clients that read only after sending; not for many at once.
_LINGER_SECONDS, _MOST_LINGERING = 2.0, 8
# The server ends every body with one empty piece; an error such as a broken chunk adds another.
_EMPTY_AT_THE_END = 1

#: Key of a WSGI environment: why its body was not read.
UNREAD_KEY = "tds.unread_body"


class BodyReader:
    """Reads the bodies of one event loop. None holds a thread, and all together hold a bounded share of memory."""

    def __init__(self) -> None:
        self._buffered_bytes = 0
        self._lingering = 0

    async def read(self, stream: BodyStream, environ: Mapping[str, Any], limit: int) -> bytes:
        """The whole body.

        Raises BodyTooLargeError before anything beyond `limit` is kept, BodyTooSlowError, BodyCutShortError when the
        connection ended, BodiesCrowdedError.
        """
        size = announced_length(environ)
        if size is None and "HTTP_TRANSFER_ENCODING" not in environ:
            return b""
        if size is not None and size > limit:
            raise too_large(limit)
        if size is not None and size <= _SMALL_BYTES:
            body = await _whole(stream, size)
        else:
            body = await self._in_pieces(stream, limit, announced=size is not None)
        if size is not None and len(body) < size:
            raise cut_short(size, len(body))
        return body

    async def drop(self, stream: BodyStream) -> None:
        """Read and discard a body for a moment, so that a client that is still sending gets the response."""
        if self._lingering >= _MOST_LINGERING:
            return
        self._lingering += 1
        try:
            with suppress(TimeoutError, RuntimeError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    async for _ in _rest_of(stream):
                        pass
        finally:
            self._lingering -= 1

    async def _in_pieces(self, stream: BodyStream, limit: int, *, announced: bool) -> bytes:
        """Read piece by piece: after the grace period the minimum rate sets the time each next piece has."""
        clock = asyncio.get_running_loop().time
        began_at, empty_count = clock(), 0
        body = bytearray()
        try:
            async with asyncio.timeout(GRACE_SECONDS) as left:
                async for piece in stream:
                    body += piece
                    self._buffered_bytes += len(piece)
                    empty_count += not piece
                    if len(body) > limit:
                        raise too_large(limit)
                    if self._buffered_bytes > MOST_BYTES_AT_ONCE:
                        raise BodiesCrowdedError("Too many large bodies are being read. Try again.")
                    earned = GRACE_SECONDS + len(body) / LEAST_BYTES_PER_SECOND
                    left.reschedule(began_at + min(DEADLINE_SECONDS, earned))
        except TimeoutError:
            raise _too_slow() from None
        finally:
            self._buffered_bytes -= len(body)
        if not announced and empty_count > _EMPTY_AT_THE_END:
            raise BodyCutShortError(
                f"The body broke off after {len(body)} bytes, before its last chunk (trailers are not read either)."
            )
        return bytes(body)


async def _rest_of(stream: BodyStream) -> AsyncIterator[bytes]:
    """The unread rest. A server lets a body be iterated once, and continues where that stopped."""
    try:
        pieces = aiter(stream)
    except RuntimeError:
        pieces = stream
    while True:
        try:
            yield await anext(pieces)
        except StopAsyncIteration:
            return


async def _whole(stream: BodyStream, size: int) -> bytes:
    try:
        async with asyncio.timeout(min(DEADLINE_SECONDS, GRACE_SECONDS + size / LEAST_BYTES_PER_SECOND)):
            return await stream()
    except TimeoutError:
        raise _too_slow() from None
    except RuntimeError:  # the connection is gone
        raise cut_short(size, 0) from None


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The whole body of a WSGI request. Raises BodyTooLargeError before or while reading, or BodyCutShortError."""
    size = announced_length(environ)
    if size is None:
        if not environ.get("wsgi.input_terminated"):
            return b""
        body = _read(environ["wsgi.input"], limit + 1)
        if len(body) > limit:
            raise too_large(limit)
        return body
    if size > limit:  # not read at all: a sender that announces this may never send it, and a thread would wait
        raise too_large(limit)
    body = _read(environ["wsgi.input"], size)
    if len(body) < size:
        raise cut_short(size, len(body))
    return body


def _read(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size) if size else b""
    while len(body) < size:
        more = stream.read(size - len(body))
        if not more:
            break
        body += more
    return body


def announced_length(environ: Mapping[str, Any]) -> int | None:
    """The Content-Length of a request in bytes; None when it is absent or no number."""
    announced = environ.get("CONTENT_LENGTH") or ""
    return int(announced[:_LONGEST_LENGTH]) if announced.isascii() and announced.isdigit() else None


def too_large(limit: int) -> BodyTooLargeError:
    """The error for a body over `limit` bytes."""
    return BodyTooLargeError(f"The body is larger than {limit} bytes.")


def cut_short(announced: int, received: int) -> BodyCutShortError:
    """The error for a body whose connection ended early."""
    return BodyCutShortError(f"{announced} bytes were announced, {received} came.")


def _too_slow() -> BodyTooSlowError:
    return BodyTooSlowError(
        f"The body came too slowly: it has {DEADLINE_SECONDS:g} seconds, and after {GRACE_SECONDS:g} seconds"
        f" {LEAST_BYTES_PER_SECOND} bytes a second are the least."
    )


def install_limits(app: Flask) -> None:
    """Set the size limit in Flask, and answer requests whose body was refused before Flask ran."""
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BYTES
    app.before_request(_refuse)


def _refuse() -> None:
    """Raises WebhookRefusedError. Webhooks check their own limit and record what they refuse."""
    error: WebhookRefusedError | None = request.environ.pop(UNREAD_KEY, None)
    if error is not None:
        raise error
    is_webhook = request.blueprint == "webhooks"
    if not is_webhook and (announced_length(request.environ) or 0) > LARGEST_BYTES:
        raise too_large(LARGEST_BYTES)
