"""The kinds of channels: the allow-list of schemes, and what an address of each kind is made of.

Whatever is not in this list is refused: other schemes of the notification library read files, run programs or pass by
the SSRF guard. An address is read here and not by that library, so that it has no option that is not named here.
"""

import re
from collections.abc import Callable, Mapping

from tds_core.alerts.channels.address import (
    EXAMPLES,
    HIDDEN,
    NO_SERVER,
    AddressParts,
    ChannelAddress,
    ChannelKind,
    InvalidChannelError,
    host_port,
    parts_of,
)
from tds_core.subscriptions.ssrf_guard import TargetPolicy

#: Ports of mail servers; those of TDS_OUTBOUND_PORTS may be used too.
MAIL_PORTS = frozenset({25, 465, 587, 2525})
HTTPS_PORT = 443
_MAILBOX = re.compile(r"""[^\s@,;:<>"()\\]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}""")
_SLACK_PART = re.compile(r"[A-Za-z0-9]{1,64}")
_SLACK_TOKEN = re.compile(r"(xoxe\.)?xox[abp]-[A-Za-z0-9-]{8,250}")
_SLACK_CHANNEL = re.compile(r"[#@+]?[A-Za-z0-9_-]{1,32}")
_TELEGRAM_TOKEN = re.compile(r"\d{4,20}:[A-Za-z0-9_-]{10,100}")
_TELEGRAM_CHAT = re.compile(r"-?\d{1,32}|@[A-Za-z][A-Za-z0-9_]{4,63}")
_KEY = re.compile(r"[A-Za-z0-9_-]{8,128}")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORKFLOW = re.compile(
    r"(?P<automate>powerautomate/automations/direct/(cu/(?P<route>\d+)/)?)?workflows/(?P<id>[\w-]+)/.+"
)
_SLACK_HOST, _NTFY_HOST = "hooks.slack.com", "ntfy.sh"
_TEAMS_HOST = re.compile(r".+\.(logic\.azure\.[a-z]{2,12}|(power|apps)platform(\.[a-z0-9-]{2,24}){1,3})", re.IGNORECASE)
_PARAMETER = re.compile(r"[a-z_-]{1,20}")
_SECURE_MODES = ("starttls", "ssl")
_USUAL_MAIL_PORTS = {"starttls": 587, "ssl": 465, "insecure": 25}


def read_address(address: str) -> ChannelAddress:
    """Read an address of any kind. Raises InvalidChannelError that says what to write, without repeating secrets."""
    parts = parts_of(address.strip())
    reader = _READERS.get(parts.scheme)
    if reader is None:
        known = "\n".join(f"  {kind.value}: {example}" for kind, example in EXAMPLES.items())
        raise InvalidChannelError(f"Channels are not reached by {parts.scheme}://. An address is one of:\n{known}")
    return reader(parts, address.strip())


def check_target(address: ChannelAddress, policy: TargetPolicy) -> None:
    """Check the server of an address as far as is possible before it is resolved. Raises TargetRefusedError.

    Every connection is checked again when it is opened, by the very IP address it goes to.
    """
    if address.kind == ChannelKind.WEBHOOK:
        policy.check_url(address.target)
    elif address.kind == ChannelKind.EMAIL:
        policy.check_server(address.server.host, address.server.port or _USUAL_MAIL_PORTS[address.options["mode"]])
    elif address.server.host:
        policy.check_url(f"{'https' if address.is_encrypted else 'http'}://{address.server}/")


def policy_for(address: ChannelAddress, policy: TargetPolicy) -> TargetPolicy:
    """What connections of a channel may reach: mail servers by their ports, services of one host by 443."""
    if address.kind == ChannelKind.EMAIL:
        return TargetPolicy(policy.allowed, policy.ports | MAIL_PORTS, policy.with_http)
    if not address.server.host and address.kind != ChannelKind.WEBHOOK:
        return TargetPolicy(policy.allowed, policy.ports | {HTTPS_PORT}, policy.with_http)
    return policy


def _email(parts: AddressParts, _: str) -> ChannelAddress:
    known = _only(parts, ChannelKind.EMAIL, "to", "from", "mode")
    server, is_encrypted = host_port(parts.place), parts.scheme == "mailtos"
    mailbox = known.get("to", "")
    sender = known.get("from") or (parts.user if "@" in parts.user else "")
    if not _MAILBOX.fullmatch(mailbox):
        raise _unreadable(ChannelKind.EMAIL, "to= is one e-mail address; make a channel for each")
    if not _MAILBOX.fullmatch(sender):
        raise _unreadable(ChannelKind.EMAIL, "from= is the e-mail address that sends")
    mode = known.get("mode") or ("ssl" if server.port == 465 else "starttls") if is_encrypted else "insecure"
    if is_encrypted and mode not in _SECURE_MODES:
        raise _unreadable(ChannelKind.EMAIL, "mode= is starttls or ssl")
    if not is_encrypted and (parts.password or "mode" in known):
        raise _unreadable(
            ChannelKind.EMAIL, "mailto:// is not encrypted, so it has no password or mode: use mailtos://"
        )
    login = f"{parts.user}:{HIDDEN}@" if parts.password else f"{parts.user}@" if parts.user else ""
    return ChannelAddress(
        kind=ChannelKind.EMAIL, server=server, is_encrypted=is_encrypted, user=parts.user, password=parts.password,
        target=mailbox, options={"from": sender, "mode": mode}, secrets=_login_secrets(parts.user, parts.password),
        masked=f"{parts.scheme}://{login}{server}?from={sender}&to={mailbox}",
    )  # fmt: skip


def _slack(parts: AddressParts, _: str) -> ChannelAddress:
    _only(parts, ChannelKind.SLACK)
    words = (parts.place, *parts.path)
    if _SLACK_TOKEN.fullmatch(words[0]):
        tokens, channels, needed = words[:1], words[1:], 1
    else:
        tokens, channels, needed = words[:3], words[3:], 0
        if len(tokens) != 3 or not all(map(_SLACK_PART.fullmatch, tokens)):
            raise _unreadable(ChannelKind.SLACK, "it has the three parts of an incoming webhook, or a bot's token")
    if not needed <= len(channels) <= 1 or not all(map(_SLACK_CHANNEL.fullmatch, channels)):
        raise _unreadable(ChannelKind.SLACK, "a bot's token is followed by one #channel; make a channel for each")
    channel = channels[0] if channels else ""
    return ChannelAddress(
        kind=ChannelKind.SLACK, target=channel, options={"tokens": "/".join(tokens)}, secrets=_secrets(*tokens),
        masked=f"slack://{HIDDEN}/{channel}".rstrip("/"),
    )  # fmt: skip


def _telegram(parts: AddressParts, _: str) -> ChannelAddress:
    known = _only(parts, ChannelKind.TELEGRAM, "topic")
    token = parts.place.removeprefix("bot").replace("%3A", ":")
    chat, _, topic = parts.path[0].partition(":") if len(parts.path) == 1 else ("", "", "")
    topic = known.get("topic", topic)
    if not _TELEGRAM_TOKEN.fullmatch(token) or not _TELEGRAM_CHAT.fullmatch(chat):
        raise _unreadable(ChannelKind.TELEGRAM, "it has a bot's token and one chat, by its number or @name")
    if topic and not topic.isdecimal():
        raise _unreadable(ChannelKind.TELEGRAM, "topic= is a number")
    target = f"{chat}:{topic}" if topic else chat
    return ChannelAddress(
        kind=ChannelKind.TELEGRAM, target=target, options={"token": token},
        secrets=_secrets(token, token.partition(":")[2]), masked=f"tgram://{HIDDEN}/{target}",
    )  # fmt: skip


def _pagerduty(parts: AddressParts, _: str) -> ChannelAddress:
    known = _only(parts, ChannelKind.PAGERDUTY, "region")
    key, region = parts.user or parts.place, known.get("region", "us").lower()
    if not _KEY.fullmatch(key) or parts.password or parts.path:
        raise _unreadable(ChannelKind.PAGERDUTY, "it has the integration key of an Events API v2 integration")
    if region not in ("us", "eu"):
        raise _unreadable(ChannelKind.PAGERDUTY, "region= is us or eu")
    return ChannelAddress(
        kind=ChannelKind.PAGERDUTY, options={"key": key, "region": region}, secrets=_secrets(key, parts.place),
        masked=f"pagerduty://{HIDDEN}?region={region}",
    )  # fmt: skip


def _ntfy(parts: AddressParts, _: str) -> ChannelAddress:
    _only(parts, ChannelKind.NTFY)
    is_service = not parts.path or parts.place.lower() == _NTFY_HOST
    server = NO_SERVER if is_service else host_port(parts.place)
    topics = parts.path or (parts.place,)
    if len(topics) != 1 or not _TOPIC.fullmatch(topics[0]):
        raise _unreadable(ChannelKind.NTFY, "it has one topic of letters, digits, _ and -; make a channel for each")
    if is_service and parts.user:
        raise _unreadable(ChannelKind.NTFY, "at ntfy.sh, a login is not supported; use a topic that cannot be guessed")
    is_encrypted = is_service or parts.scheme in ("ntfys", "https")
    token = "" if parts.password else parts.user if parts.user.startswith("tk_") else ""
    login = f"{HIDDEN}@" if token else f"{parts.user}:{HIDDEN}@" if parts.user else ""
    scheme = "ntfys" if is_encrypted else "ntfy"
    return ChannelAddress(
        kind=ChannelKind.NTFY, server=server, is_encrypted=is_encrypted, target=topics[0], options={"token": token},
        user="" if token else parts.user, password=parts.password,
        secrets=_secrets(*_login_secrets(parts.user, parts.password), token, topics[0]),
        masked=f"{scheme}://{login}{_NTFY_HOST if is_service else server}/{topics[0][:3]}{HIDDEN}",
    )  # fmt: skip


def _teams(parts: AddressParts, _: str) -> ChannelAddress:
    server, found = host_port(parts.place), _WORKFLOW.fullmatch("/".join(parts.path))
    signature = parts.query.get("sig", "")
    if found is None or not _KEY.fullmatch(signature):
        raise _unreadable(ChannelKind.TEAMS, "copy the whole address of the workflow's webhook, up to the end of sig=")
    options = {
        "workflow": found["id"], "signature": signature, "automate": found["automate"] or "",
        "route": found["route"] or "", "version": parts.query.get("api-version", ""),
    }  # fmt: skip
    return ChannelAddress(
        kind=ChannelKind.TEAMS, server=server, options=options, secrets=_secrets(signature, found["id"]),
        masked=f"https://{server}/workflows/{HIDDEN}",
    )  # fmt: skip


def _https(parts: AddressParts, address: str) -> ChannelAddress:
    """An address of a service that people copy as it is, or of a webhook of their own."""
    host = parts.place.rpartition(":")[0] or parts.place
    if host.lower() == _SLACK_HOST and parts.path[:1] == ("services",):
        return _slack(_moved(parts, parts.path[1:]), address)
    if _TEAMS_HOST.fullmatch(host):
        return _teams(parts, address)
    if host.lower() == _NTFY_HOST:
        return _ntfy(parts, address)
    server = host_port(parts.place)
    return ChannelAddress(
        kind=ChannelKind.WEBHOOK, server=server, is_encrypted=parts.scheme == "https", target=address,
        secrets=_secrets(*parts.path, *parts.query.values(), parts.user, parts.password),
        masked=f"{parts.scheme}://{server}/" + (HIDDEN if parts.path or parts.query else ""),
    )  # fmt: skip


def _moved(parts: AddressParts, words: tuple[str, ...]) -> AddressParts:
    return AddressParts(
        scheme=parts.scheme, user=parts.user, password=parts.password, place=words[0] if words else "", path=words[1:],
        query=parts.query,
    )  # fmt: skip


_READERS: Mapping[str, Callable[[AddressParts, str], ChannelAddress]] = {
    "mailto": _email, "mailtos": _email, "slack": _slack, "tgram": _telegram, "pagerduty": _pagerduty, "ntfy": _ntfy,
    "ntfys": _ntfy, "https": _https, "http": _https,
}  # fmt: skip


def _only(parts: AddressParts, kind: ChannelKind, *names: str) -> Mapping[str, str]:
    """The parameters of an address. Raises InvalidChannelError if there are others than `names`."""
    if unknown := sorted(set(parts.query) - set(names)):
        allowed = f"only {', '.join(f'{name}=' for name in names)}" if names else "none"
        name = f"{unknown[0]}=" if _PARAMETER.fullmatch(unknown[0]) else "a parameter of it"
        raise _unreadable(kind, f"{name} is not supported ({allowed})")
    return parts.query


def _secrets(*parts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in parts if part))


def _login_secrets(user: str, password: str) -> tuple[str, ...]:
    """A password, and what HTTP and SMTP encode it in."""
    return (password, f"{user}:{password}", f"\0{user}\0{password}") if password else ()


def _unreadable(kind: ChannelKind, reason: str) -> InvalidChannelError:
    return InvalidChannelError(f"This address of {kind.value} cannot be used: {reason}. Write: {EXAMPLES[kind]}")
