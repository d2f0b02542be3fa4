"""Sending: one message to one channel, within a fixed time, with an outcome that says whether to try again.

Nothing here waits longer than it is given, and nothing raises for what a receiver does. An error that is returned holds
no part of the address that is secret.
"""

import contextvars
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from tds_core.alerts.channels.address import ChannelAddress, ChannelKind, InvalidChannelError, scrubbed
from tds_core.alerts.channels.address_parsers import policy_for, read_address
from tds_core.alerts.channels.channel_secrets import ChannelSecrets, opened
from tds_core.alerts.channels.library import NAME, LibraryCall, finished_mail, library_calls
from tds_core.alerts.channels.transport import CheckedRequests, Exchange, exchanging
from tds_core.alerts.messages import AlertMessage, installation_name, message_of_test
from tds_core.alerts.text_formatting import one_line
from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.subscriptions.signed_events import signed_headers
from tds_core.subscriptions.ssrf_guard import configured_policy

SEND_SECONDS = 10.0
#: How long a call may take to end once its connections are ended.
ABORT_SECONDS = 1.0
LONGEST_ERROR = 500
_SUCCESS, _REDIRECT = 2, 3
#: Answers by which another attempt gets the same: the login, the destination or the message is wrong.
_REFUSED_STATUSES = frozenset({400, 401, 403, 404, 405, 410, 413, 422})
_REFUSED_MAIL = 500
#: Answers of what stands before the receiver, which may have the message.
_GATEWAY_STATUSES = frozenset({502, 504})
#: What these answer to a wrong destination or login, whatever the status.
_REFUSED_WORDS = {
    ChannelKind.SLACK: (
        "channel_not_found", "not_in_channel", "is_archived", "invalid_auth", "account_inactive", "token_revoked",
        "no_service", "no_team",
    ),
}  # fmt: skip


class StoredChannel(Protocol):
    """A row of `tds_alert_channels`."""

    id: int
    name: str
    locked: bytes
    with_detail: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChannel:
    """A channel with its secrets, ready to send without the database."""

    id: int
    name: str
    with_detail: bool
    address: ChannelAddress
    secrets: ChannelSecrets = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """How an attempt ended. `error`: why it failed, without secrets; None after success.

    `is_permanent`: another attempt would fail alike, until a person changes the channel. `retry_after_seconds`: how
    long the receiver asks to wait; 0 when it does not ask. `may_have_arrived`: no answer came, or a gateway's, or a
    part of the message was taken.
    """

    is_sent: bool
    error: str | None
    is_permanent: bool
    duration_seconds: float
    retry_after_seconds: float = 0.0
    may_have_arrived: bool = False


def open_channel(row: StoredChannel | Mapping[str, Any], vault: Vault) -> OpenChannel:
    """Decrypt a channel, a row or its columns by name.

    Raises ConfigError when no key fits, or when its address is no longer one of a kind there is.
    """
    stored: Any = row if not isinstance(row, Mapping) else SimpleNamespace(**row)
    secrets = opened(vault, stored.locked)
    try:
        address = read_address(secrets.address)
    except InvalidChannelError as error:
        raise ConfigError(f"The address of the channel {stored.name} is not supported any more: {error}") from None
    return OpenChannel(id=stored.id, name=stored.name, with_detail=stored.with_detail, address=address, secrets=secrets)


def send(
    channel: OpenChannel, message: AlertMessage, *, settings: Settings, timeout: float = SEND_SECONDS
) -> SendOutcome:
    """Send a message once; returns within about `timeout` seconds. Receivers may get it twice, with the same id.

    A message of many alerts is one call, at PagerDuty one for each alert; it is sent when all of them were taken.
    """
    began = time.monotonic()
    policy = policy_for(channel.address, configured_policy(settings))
    exchange = Exchange(policy=policy, deadline=began + timeout)
    is_sent = _within(timeout, exchange, partial(_sent, channel, message, exchange)) or exchange.is_taken
    return SendOutcome(
        is_sent=is_sent,
        error=None if is_sent else _error(channel, exchange, timeout),
        is_permanent=not is_sent and _is_permanent(channel.address.kind, exchange),
        duration_seconds=time.monotonic() - began,
        retry_after_seconds=0.0 if is_sent else _seconds_of(exchange.retry_after),
        may_have_arrived=not is_sent and _may_have_arrived(channel.address.kind, exchange),
    )


def send_test(channel: OpenChannel, *, settings: Settings, timeout: float = SEND_SECONDS) -> SendOutcome:
    """Send a message that says it is a test. At PagerDuty the incident it opens is resolved at once."""
    message = partial(
        message_of_test, channel=channel.name, message_id=str(uuid4()), installation=installation_name(settings),
        at=datetime.now(UTC),
    )  # fmt: skip
    outcome = send(channel, message(), settings=settings, timeout=timeout)
    if outcome.is_sent and channel.address.kind == ChannelKind.PAGERDUTY:
        return send(channel, message(is_over=True), settings=settings, timeout=timeout)
    return outcome


def _within(seconds: float, exchange: Exchange, call: LibraryCall) -> bool:
    """Whether the call succeeded in time. Looking up a name cannot be ended, only left to itself."""
    results: list[bool] = []

    def run() -> None:
        try:
            with exchanging(exchange):
                results.append(call())
        except Exception as error:  # whatever the library raises, the message is not sent
            exchange.error = exchange.error or f"{type(error).__name__}: {error}"

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="alert-sending", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        exchange.abort()
        thread.join(ABORT_SECONDS)
    if not thread.is_alive():
        exchange.close()
    # A socket's own timeout may come first, which is the same deadline.
    if results != [True] and exchange.status is None and time.monotonic() >= exchange.deadline:
        exchange.is_late = True
    return results == [True]


def _sent(channel: OpenChannel, message: AlertMessage, exchange: Exchange) -> bool:
    address = channel.address
    if address.kind == ChannelKind.WEBHOOK:
        return _post(channel, message)
    if address.kind == ChannelKind.EMAIL:
        domain = address.options["from"].rpartition("@")[2]
        exchange.change_mail = partial(finished_mail, message=message, domain=domain, key=channel.secrets.key)
    for call in library_calls(address, message, key=channel.secrets.key):
        if not call():
            return False
        exchange.is_taken_in_part = True
    return True


def _post(channel: OpenChannel, message: AlertMessage) -> bool:
    """POST the message as JSON, signed."""
    now, body = datetime.now(UTC), msgspec.json.encode(message.data)
    signed = signed_headers(channel.secrets.signing_at(now), message_id=message.id, at=int(now.timestamp()), body=body)
    headers = {"Content-Type": "application/json", "User-Agent": NAME, **signed}
    response = CheckedRequests().post(channel.address.target, data=body, headers=headers)
    return response.status_code // 100 == _SUCCESS


def _error(channel: OpenChannel, exchange: Exchange, timeout: float) -> str:
    """Why an attempt failed: one line without secrets."""
    if exchange.refusal:
        text = exchange.refusal
    elif exchange.is_late:
        text = f"no answer within {timeout:g} s"
    elif exchange.status is not None:
        text = f"the answer was {exchange.status}" + (f": {exchange.says}" if exchange.says else "")
    else:
        text = exchange.error or "the message was not taken, and nothing was said why"
    return one_line(scrubbed(text, channel.address.secrets), LONGEST_ERROR)


def _is_permanent(kind: ChannelKind, exchange: Exchange) -> bool:
    if exchange.refusal:
        return True
    if exchange.status is None:
        return False
    if kind == ChannelKind.EMAIL:
        return exchange.status >= _REFUSED_MAIL
    is_refused = exchange.status in _REFUSED_STATUSES or exchange.status // 100 == _REDIRECT
    return is_refused or any(word in exchange.says for word in _REFUSED_WORDS.get(kind, ()))


def _may_have_arrived(kind: ChannelKind, exchange: Exchange) -> bool:
    is_gateway = kind != ChannelKind.EMAIL and exchange.status in _GATEWAY_STATUSES
    return exchange.is_late or exchange.has_begun or exchange.is_taken_in_part or is_gateway


def _seconds_of(header: str) -> float:
    """The seconds of a `Retry-After` header; 0 for a date, which is not supported."""
    return float(header) if header.isdecimal() and len(header) < 8 else 0.0
