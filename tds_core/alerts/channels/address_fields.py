"""The fields of an address by the kind of its channel, and the address they make, for those who do not write it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from tds_core.alerts.channels.address import ChannelKind, InvalidChannelError


@dataclass(frozen=True, slots=True)
class AddressField:
    """A part of an address. `is_secret`: it is shown nowhere again."""

    name: str
    title: str
    is_required: bool = False
    is_secret: bool = False
    example: str = ""


_WHOLE: Final = {
    ChannelKind.SLACK: AddressField("hook_address", "Address of an incoming webhook",
                                    example="https://hooks.slack.com/services/..., or a bot's token and a channel"),
    ChannelKind.TEAMS: AddressField("hook_address", "Address of the workflow", True, example="all, up to sig=..."),
    ChannelKind.WEBHOOK: AddressField("hook_address", "Address", True, example="https://example.com/alerts"),
}  # fmt: skip
FIELDS: Final[Mapping[ChannelKind, tuple[AddressField, ...]]] = {
    ChannelKind.EMAIL: (
        AddressField("server", "Mail server", True, example="smtp.example.com, or smtp.example.com:465"),
        AddressField("user", "Login"),
        AddressField("password", "Password", is_secret=True),
        AddressField("sender", "From", True, example="tds@example.com"),
        AddressField("recipient", "To", True, example="one address; make a channel for each"),
    ),
    ChannelKind.SLACK: (
        _WHOLE[ChannelKind.SLACK],
        AddressField("secret_token", "Token of a bot", is_secret=True),
        AddressField("channel", "Channel", example="#ops"),
    ),
    ChannelKind.TELEGRAM: (
        AddressField("secret_token", "Token of the bot", True, is_secret=True),
        AddressField("chat", "Chat id", True),
    ),
    ChannelKind.PAGERDUTY: (
        AddressField("secret_key", "Integration key", True, is_secret=True),
        AddressField("region", "Region", example="us or eu"),
    ),
    ChannelKind.TEAMS: (_WHOLE[ChannelKind.TEAMS],),
    ChannelKind.NTFY: (
        AddressField("server", "Server", example="none: ntfy.sh"),
        AddressField("topic", "Topic", True),
        AddressField("user", "Login"),
        AddressField("password", "Password", is_secret=True),
    ),
    ChannelKind.WEBHOOK: (_WHOLE[ChannelKind.WEBHOOK],),
}


def address_of(kind: ChannelKind, values: Mapping[str, str]) -> str:
    """The address that the fields of a kind make. Raises InvalidChannelError for a field it has not, or lacks."""
    fields = {field.name: field for field in FIELDS[kind]}
    given = {name: value.strip() for name, value in values.items() if value.strip()}
    if unknown := sorted(set(given) - set(fields)):
        raise InvalidChannelError(f"A channel of {kind} has no {unknown[0]!r:.60}; it has: {', '.join(fields)}.")
    if lacking := [name for name, field in fields.items() if field.is_required and name not in given]:
        raise InvalidChannelError(f"A channel of {kind} needs: {', '.join(lacking)}.")
    if whole := given.get("hook_address"):
        if not whole.lower().startswith(("https://", "http://")):
            raise InvalidChannelError("hook_address begins with https://.")
        return whole
    quoted = {name: quote(value, safe="") for name, value in given.items() if name != "server"}
    return _COMPOSED[kind](given.get("server", ""), quoted)


def _login(parts: Mapping[str, str]) -> str:
    user, password = parts.get("user", ""), parts.get("password", "")
    return f"{user}:{password}@" if password else f"{user}@" if user else ""


def _email(server: str, parts: Mapping[str, str]) -> str:
    return f"mailtos://{_login(parts)}{server}?from={parts['sender']}&to={parts['recipient']}"


def _slack(_: str, parts: Mapping[str, str]) -> str:
    if not {"secret_token", "channel"} <= set(parts):
        raise InvalidChannelError("A channel of slack needs: hook_address, or secret_token and channel.")
    return f"slack://{parts['secret_token']}/{parts['channel']}"


def _telegram(_: str, parts: Mapping[str, str]) -> str:
    # The colon stands in every token, and the place of an address is not decoded.
    return f"tgram://{parts['secret_token'].replace('%3A', ':')}/{parts['chat']}"


def _pagerduty(_: str, parts: Mapping[str, str]) -> str:
    region = f"?region={parts['region']}" if "region" in parts else ""
    return f"pagerduty://{parts['secret_key']}{region}"


def _ntfy(server: str, parts: Mapping[str, str]) -> str:
    return f"ntfys://{_login(parts)}{server or 'ntfy.sh'}/{parts['topic']}"


_COMPOSED: Final = {
    ChannelKind.EMAIL: _email, ChannelKind.SLACK: _slack, ChannelKind.TELEGRAM: _telegram,
    ChannelKind.PAGERDUTY: _pagerduty, ChannelKind.NTFY: _ntfy,
}  # fmt: skip
