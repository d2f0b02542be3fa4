"""Sending: one signed request to a receiver, from its name's resolution to the answer within a fixed time."""

import socket
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from tds_core.outbound.addresses import TargetRefusedError, Targets
from tds_core.outbound.sent import Answer

CONNECT_SECONDS = 5.0
#: So much of an answer is read, and kept of one that is no success.
MOST_BYTES, KEPT_CHARACTERS = 4096, 300
_HEADERS = {"Content-Type": "application/json", "User-Agent": "TDS (TSH Data Sync)"}


class _RefusedAddressError(OSError):
    """A name led to an address that may not be reached."""


class Wire:
    """Connections to receivers, for as long as the `async with` lasts. Nothing of the environment's proxies is used."""

    def __init__(self, targets: Targets, *, timeout_seconds: float) -> None:
        self._targets = targets
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> "Wire":
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, socket_factory=self._open)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
            trust_env=False,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def _open(self, found: Any) -> socket.socket:
        """A socket for exactly the address it will connect to, if that may be reached."""
        family, kind, protocol, _, address = found
        try:
            self._targets.check_connection(address[0], address[1])
        except TargetRefusedError as error:
            raise _RefusedAddressError(str(error)) from None
        return socket.socket(family, kind, protocol)

    async def send(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST `body`. Whatever goes wrong is an answer; redirects are not followed."""
        began = time.monotonic()
        try:
            self._targets.check_url(url)
            async with self._session.post(
                url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False
            ) as answer:
                start = await _start_of(answer)
                said = start.decode("utf-8", "replace")[:KEPT_CHARACTERS].replace("\x00", "")
                is_success = 200 <= answer.status < 300
                wish = _wish(answer.headers.get("Retry-After", "")) if not is_success else 0.0
                return Answer(answer.status, time.monotonic() - began, None if is_success else said or None, wish)
        except TargetRefusedError as error:
            said = str(error)
        except TimeoutError:
            said = f"no answer within {self._timeout.total:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"[:KEPT_CHARACTERS]
        return Answer(None, time.monotonic() - began, said)


async def _start_of(answer: aiohttp.ClientResponse) -> bytes:
    """The beginning of an answer's body; a connection whose answer is longer is not used again."""
    read = b""
    while len(read) < MOST_BYTES and (chunk := await answer.content.read(MOST_BYTES - len(read))):
        read += chunk
    return read


def _wish(retry_after: str) -> float:
    """For how many seconds a receiver asks to be left alone; dates are not understood and wish nothing."""
    return float(retry_after) if retry_after.isdecimal() and len(retry_after) < 8 else 0.0
