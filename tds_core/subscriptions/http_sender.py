"""Sending: one signed request to a receiver, from its name's resolution to the answer within a fixed time.

What was sent, and what came back.

Outbound events as this installation's settings want them.
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.subscriptions.delivery_queue import ClaimedDelivery
from tds_core.subscriptions.ssrf_guard import TargetPolicy, TargetRefusedError, targets


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """What came back. `status` is None when no answer came; `error` says why then, or how an answer began."""

    status: int | None
    duration_seconds: float
    error: str | None = None
    wish_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """An event and what came back."""

    sending: ClaimedDelivery
    answer: ReceiverResponse


CONNECT_SECONDS = 5.0
#: So much of an answer is read, and kept of one that is no success.
MOST_BYTES, KEPT_CHARACTERS = 4096, 300
_HEADERS = {"Content-Type": "application/json", "User-Agent": "TDS (TSH Data Sync)"}


class _RefusedAddressError(OSError):
    """A name led to an address that may not be reached."""


class HttpSender:
    """Connections to receivers, for as long as the `async with` lasts. Nothing of the environment's proxies is used."""

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

    def _open(self, found: Any) -> socket.socket:
        """A socket for exactly the address it will connect to, if that may be reached."""
        family, kind, protocol, _, address = found
        try:
            self._targets.check_connection(address[0], address[1])
        except TargetRefusedError as error:
            raise _RefusedAddressError(str(error)) from None
        return socket.socket(family, kind, protocol)

    async def send(self, url: str, *, headers: Mapping[str, str], body: bytes) -> ReceiverResponse:
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
                return ReceiverResponse(
                    answer.status, time.monotonic() - began, None if is_success else said or None, wish
                )
        except TargetRefusedError as error:
            said = str(error)
        except TimeoutError:
            said = f"no answer within {self._timeout.total:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"[:KEPT_CHARACTERS]
        return ReceiverResponse(None, time.monotonic() - began, said)


async def _start_of(answer: aiohttp.ClientResponse) -> bytes:
    """The beginning of an answer's body; a connection whose answer is longer is not used again."""
    read = b""
    while len(read) < MOST_BYTES and (chunk := await answer.content.read(MOST_BYTES - len(read))):
        read += chunk
    return read


def _wish(retry_after: str) -> float:
    """For how many seconds a receiver asks to be left alone; dates are not understood and wish nothing."""
    return float(retry_after) if retry_after.isdecimal() and len(retry_after) < 8 else 0.0


def targets_of(settings: Settings) -> TargetPolicy:
    """Where events may be sent."""
    return targets(allowed=settings.outbound_allow, ports=settings.outbound_ports, with_http=settings.outbound_http)


def vault_of(settings: Settings) -> Vault:
    """What locks the secrets. Raises ConfigError when TDS_SECRET_KEY is not set."""
    settings.require("TDS_SECRET_KEY")
    return Vault(settings.secret_key, settings.secret_key_previous)
