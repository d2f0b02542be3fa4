"""The HTTP sender: POSTs one event to a receiver within a fixed time, and only to addresses that may be reached."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tds_core.subscriptions.delivery_queue import ClaimedDelivery
from tds_core.subscriptions.ssrf_guard import TargetPolicy, TargetRefusedError

CONNECT_SECONDS = 5.0
#: How much of a response is read, and how much of a failure is stored.
MOST_BYTES, STORED_CHARACTERS = 4096, 300
_HEADERS = {"Content-Type": "application/json", "User-Agent": "TDS (TSH Data Sync)"}


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """The receiver's response. `status`: None when none came. `error`: why not, or the beginning of a failure's body.

    `retry_after_seconds`: how long the receiver asks not to be sent anything; 0 when it does not ask.
    """

    status: int | None
    duration_seconds: float
    error: str | None = None
    retry_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """A claimed event and the response to it."""

    claimed: ClaimedDelivery
    response: ReceiverResponse


class _RefusedAddressError(OSError):
    """A host name resolved to an address that may not be reached."""


class HttpSender:
    """A client session for the time of an `async with`; proxies of the environment are not used."""

    def __init__(self, targets: TargetPolicy, *, timeout_seconds: float) -> None:
        self._targets = targets
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> "HttpSender":
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, socket_factory=self._open)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
            trust_env=False,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def _open(self, address_info: Any) -> socket.socket:
        """A socket for the very address it will connect to, if that may be reached."""
        family, kind, protocol, _, address = address_info
        try:
            self._targets.check_connection(address[0], address[1])
        except TargetRefusedError as error:
            raise _RefusedAddressError(str(error)) from None
        return socket.socket(family, kind, protocol)

    async def send(self, url: str, *, headers: Mapping[str, str], body: bytes) -> ReceiverResponse:
        """POST `body`. Failures are returned, not raised; redirects are not followed."""
        began = time.monotonic()
        try:
            self._targets.check_url(url)
            async with self._session.post(
                url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False
            ) as response:
                beginning = await _beginning(response)
                message = beginning.decode("utf-8", "replace")[:STORED_CHARACTERS].replace("\x00", "")
                is_success = 200 <= response.status < 300
                wait = _retry_after(response.headers.get("Retry-After", "")) if not is_success else 0.0
                return ReceiverResponse(
                    response.status, time.monotonic() - began, None if is_success else message or None, wait
                )
        except TargetRefusedError as error:
            message = str(error)
        except TimeoutError:
            message = f"no answer within {self._timeout.total:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            message = f"{type(error).__name__}: {error}"[:STORED_CHARACTERS]
        return ReceiverResponse(None, time.monotonic() - began, message)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """At most `MOST_BYTES` of the body; a connection whose response is longer is not used again."""
    read = b""
    while len(read) < MOST_BYTES and (chunk := await response.content.read(MOST_BYTES - len(read))):
        read += chunk
    return read


def _retry_after(header: str) -> float:
    """The seconds of a `Retry-After` header; 0 for a date, which is not supported."""
    return float(header) if header.isdecimal() and len(header) < 8 else 0.0
