"""Addresses of channels: taken apart, with the parts that are secret, and shown without them."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, unquote

from tds_core.errors import TdsError
from tds_core.observability.redaction import REDACTED, redact_text

LONGEST_ADDRESS = 2000
HIDDEN = "****"
#: Shorter parts would hide ordinary words of an error.
LEAST_SECRET = 4
#: How much of a scrubbed text is returned: looking for what looks secret takes long in a long text.
MOST_SCRUBBED = 2000
_SCHEME = re.compile(r"[a-z]{2,12}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
LARGEST_PORT = 65_535


class InvalidChannelError(TdsError):
    """The address, the name or a term of a channel is not valid; the message says what to write."""

    code = "channel_unfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressParts:
    """The parts of an address, percent-decoded. `place`: what stands between login and path, still encoded."""

    scheme: str
    user: str
    password: str
    place: str
    path: tuple[str, ...]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A server: its host name or IP address, and its port; None for the usual one."""

    host: str
    port: int | None

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


#: Of a service that has servers of its own.
NO_SERVER = HostPort(host="", port=None)


class ChannelKind(StrEnum):
    """Kind of a channel."""

    EMAIL = "email"
    SLACK = "slack"
    TELEGRAM = "telegram"
    PAGERDUTY = "pagerduty"
    TEAMS = "teams"
    NTFY = "ntfy"
    WEBHOOK = "webhook"


#: How an address of each kind is written.
EXAMPLES: Mapping[ChannelKind, str] = {
    ChannelKind.EMAIL: "mailtos://user:password@smtp.example.com?from=tds@example.com&to=ops@example.com",
    ChannelKind.SLACK: "https://hooks.slack.com/services/T.../B.../... or slack://xoxb-.../#channel",
    ChannelKind.TELEGRAM: "tgram://123456789:bot-token/chat-id",
    ChannelKind.PAGERDUTY: "pagerduty://integration-key (and ?region=eu)",
    ChannelKind.TEAMS: "https://....logic.azure.com/workflows/.../triggers/manual/paths/invoke?...&sig=...",
    ChannelKind.NTFY: "ntfys://user:password@ntfy.example.com/topic",
    ChannelKind.WEBHOOK: "https://example.com/alerts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAddress:
    """An address that was read. `server`: the one it names, or NO_SERVER.

    `is_encrypted`: the connection. `target`: the one mailbox, chat, Slack channel or topic. `options`: what else its
    kind needs. `secrets`: the parts that neither lists nor errors may show. `masked`: the address without them.
    """

    kind: ChannelKind
    masked: str
    server: HostPort = NO_SERVER
    is_encrypted: bool = True
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    target: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def parts_of(address: str) -> AddressParts:
    """Take an address apart. Raises InvalidChannelError; the message never repeats the address."""
    if not address.isascii() or not address.isprintable() or " " in address or len(address) > LONGEST_ADDRESS:
        raise InvalidChannelError(
            f"An address has at most {LONGEST_ADDRESS} printable ASCII characters and no space; write others"
            " percent-encoded, as %20."
        )
    scheme, separator, rest = address.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme.lower()):
        raise InvalidChannelError("An address begins with its kind, such as mailtos:// or https://.")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    login, _, place = authority.rpartition("@")
    user, _, password = login.partition(":")
    return AddressParts(
        scheme=scheme.lower(), user=unquote(user), password=unquote(password), place=place,
        path=tuple(unquote(each) for each in path.split("/") if each), query=_query_of(query),
    )  # fmt: skip


def _query_of(query: str) -> dict[str, str]:
    """The parameters of a query; a plus stays a plus, for e-mail addresses."""
    found: dict[str, str] = {}
    for each in query.split("&") if query else ():
        name, _, value = each.partition("=")
        if unquote(name) in found:
            raise InvalidChannelError("An address names each of its parameters once.")
        found[unquote(name)] = unquote(value)
    return found


def host_port(place: str) -> HostPort:
    """Read `host` or `host:port`. Raises InvalidChannelError."""
    host, _, port = place.rpartition(":") if place.rpartition(":")[2].isdecimal() else (place, "", "")
    if not _HOST.fullmatch(host):
        raise InvalidChannelError(
            "The address names no valid host. In a login or password, write : / ? # @ percent-encoded (%3A %2F %3F %23"
            " %40)."
        )
    if port and not 0 < int(port) <= LARGEST_PORT:
        raise InvalidChannelError(f"A port is a number from 1 to {LARGEST_PORT}.")
    return HostPort(host=host, port=int(port) if port else None)


def scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    """The beginning of a text without secret parts of an address, in any of their spellings, or what looks secret."""
    spellings = sorted({each for secret in secrets for each in _spellings(secret)}, key=len, reverse=True)
    for spelling in spellings:
        text = text.replace(spelling, REDACTED)
    text = text[:MOST_SCRUBBED]
    # What was cut may end in the beginning of a secret.
    longest = max(map(len, spellings), default=0)
    cut = next((size for size in range(longest, LEAST_SECRET - 1, -1) if _ends_in_part(text, size, spellings)), 0)
    return redact_text(text[: len(text) - cut])


def _spellings(secret: str) -> list[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    found = (secret, quote(secret), quote(secret, safe=""), encoded, encoded.rstrip("="))
    return [each for each in found if len(each) >= LEAST_SECRET]


def _ends_in_part(text: str, size: int, spellings: list[str]) -> bool:
    return any(len(spelling) > size and spelling.startswith(text[-size:]) for spelling in spellings)
