"""The notification library (apprise): one of its senders for an address and a message, without its URLs and options.

Senders are made from parts that were checked here. So the library reads no configuration, file, attachment or template,
looks no picture up, and has one destination.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email import message_from_string
from functools import partial
from html import escape
from typing import Any
from urllib.parse import quote

from apprise.asset import AppriseAsset
from apprise.common import NotifyFormat, NotifyType, PersistentStoreMode
from apprise.exception import AppriseImproperlyConfigured
from apprise.plugins import ntfy, pagerduty, slack, telegram, workflows
from apprise.plugins.base import NotifyBase
from apprise.plugins.email import smtp
from apprise.plugins.email.base import NotifyEmail
from apprise.plugins.ntfy import NotifyNtfy
from apprise.plugins.pagerduty import NotifyPagerDuty
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram
from apprise.plugins.workflows import NotifyWorkflows

from tds_core.alerts.channels.address import EXAMPLES, ChannelAddress, ChannelKind, InvalidChannelError
from tds_core.alerts.channels.transport import CheckedRequests, CheckedSmtplib
from tds_core.alerts.messages import LONGEST_TITLE, AlertMessage, ShownAlert, ShownRule, message_of_test
from tds_core.alerts.rendering import rendered
from tds_models.alerts import AlertMessageKind, AlertSeverity

for _module in (ntfy, pagerduty, slack, telegram, workflows):
    vars(_module)["requests"] = CheckedRequests()
vars(smtp)["smtplib"] = CheckedSmtplib()
# Its debug lines show tokens; what failed is told by the outcome.
logging.getLogger("apprise").disabled = True

NAME = "TDS (TSH Data Sync)"
#: How long a message may be, by the limits of the services.
LONGEST_SLACK, LONGEST_TELEGRAM, LONGEST_TEAMS, LONGEST_NTFY, LONGEST_PAGERDUTY = 2900, 4000, 8000, 3500, 1000
_TYPES = {
    AlertSeverity.WARNING: NotifyType.WARNING, AlertSeverity.ERROR: NotifyType.FAILURE,
    AlertSeverity.CRITICAL: NotifyType.FAILURE,
}  # fmt: skip
_PRIORITIES = {AlertSeverity.WARNING: "default", AlertSeverity.ERROR: "high", AlertSeverity.CRITICAL: "max"}

#: Sends one notification; True if the service took it.
LibraryCall = Callable[[], bool]


def check_address(address: ChannelAddress) -> None:
    """Check that the library takes an address. Raises InvalidChannelError."""
    probe = message_of_test(channel="", message_id="", installation="", at=datetime.now(UTC))
    try:
        library_calls(address, probe, key="")
    except AppriseImproperlyConfigured:
        example = EXAMPLES[address.kind]
        raise InvalidChannelError(
            f"A part of this address of {address.kind.value} is not valid. Write: {example}"
        ) from None


def library_calls(address: ChannelAddress, message: AlertMessage, *, key: str) -> list[LibraryCall]:
    """The calls that send a message: one, but at PagerDuty one for each alert, as each is an incident of its own.

    `key`: what the channel's incidents begin with, so that two installations never close each other's. Raises
    AppriseImproperlyConfigured.
    """
    if address.kind == ChannelKind.PAGERDUTY:
        return [_pagerduty(address, message, rule, each, key=key) for rule in message.rules for each in rule.alerts]
    return [_SENDERS[address.kind](address, message)]


def _sender(kind: Any, message: AlertMessage, **options: Any) -> NotifyBase:
    """A sender of the library; `kind`: its class."""
    asset = AppriseAsset(
        app_id=NAME, app_desc=NAME, app_url="", html_notify_map={}, default_html_color=message.color, image_url_mask="",
        image_url_logo="", image_path_mask=False, async_mode=False, pgp_autogen=False, pem_autogen=False,
        http_redirects=False, storage_mode=PersistentStoreMode.MEMORY, allow_templates=False, language="en",
    )  # fmt: skip
    sender: NotifyBase = kind(**options, asset=asset)
    return sender


def _call(sender: NotifyBase, message: AlertMessage, body: str, title: str = "", **options: object) -> LibraryCall:
    kind = NotifyType.SUCCESS if message.kind == AlertMessageKind.RESOLVED else _TYPES[message.severity]
    return partial(sender.notify, body=body, title=title, notify_type=kind, **options)


def _email(address: ChannelAddress, message: AlertMessage) -> LibraryCall:
    sender = _sender(
        NotifyEmail, message, smtp_host=address.server.host.strip("[]"), host=address.server.host,
        port=address.server.port, secure=address.is_encrypted, secure_mode=address.options["mode"],
        user=quote(address.user) or None, password=quote(address.password) or None,
        from_addr=f"{NAME} <{address.options['from']}>", targets=[address.target],
        headers={"X-TDS-Message": message.id, "Auto-Submitted": "auto-generated"},
    )  # fmt: skip
    if not vars(sender)["targets"]:  # the library drops a mailbox it does not like without an error
        raise AppriseImproperlyConfigured("no such mailbox")  # type: ignore[no-untyped-call]
    return _call(sender, message, message.html, message.title, body_format=NotifyFormat.HTML)


def finished_mail(mail: str, message: AlertMessage, *, domain: str, key: str) -> str:
    """A mail as the library made it, with our plain text, and with an id that is the same at every attempt.

    `key`: of the channel. Mails about one alert refer to one, so that its end is shown beside its beginning.
    """
    parsed = message_from_string(mail)
    plain = next((part for part in parsed.walk() if part.get_content_type() == "text/plain"), None)
    if plain is not None:
        del plain["Content-Transfer-Encoding"]
        plain.set_payload(message.text, "utf-8")
    del parsed["Message-ID"]
    parsed["Message-ID"] = f"<{message.id}@{domain}>"
    numbers = [alert.alert_id for rule in message.rules for alert in rule.alerts]
    if len(numbers) == 1:
        parsed["References"] = f"<{key}-{numbers[0]}@{domain}>"
    return parsed.as_string()


def _slack(address: ChannelAddress, message: AlertMessage) -> LibraryCall:
    tokens = address.options["tokens"].split("/")
    names = ("access_token",) if len(tokens) == 1 else ("token_a", "token_b", "token_c")
    sender = _sender(
        NotifySlack, message, **dict(zip(names, tokens, strict=True)),
        targets=[address.target] if address.target else None, include_image=False, include_footer=False,
        use_blocks=True,
    )  # fmt: skip
    excess = len(escape(message.title, quote=False)) - LONGEST_TITLE  # as the library escapes it
    title = message.title[:-excess] if excess > 0 else message.title
    # Without a declared format the library leaves the text of a block as it is.
    return _call(sender, message, rendered("slack.mrkdwn", message, longest=LONGEST_SLACK), title)


def _telegram(address: ChannelAddress, message: AlertMessage) -> LibraryCall:
    sender = _sender(
        NotifyTelegram, message, bot_token=address.options["token"], targets=[address.target], detect_owner=False,
        include_image=False, preview=False,
    )  # fmt: skip
    text = rendered("telegram.html", message, longest=LONGEST_TELEGRAM)
    return _call(sender, message, text, body_format=NotifyFormat.HTML)


def _teams(address: ChannelAddress, message: AlertMessage) -> LibraryCall:
    options = address.options
    sender = _sender(
        NotifyWorkflows, message, workflow=options["workflow"], signature=options["signature"],
        power_automate=bool(options["automate"]), routing_id=options["route"] or None,
        version=options["version"] or None, host=address.server.host, port=address.server.port, include_image=False,
        secure=True,
    )  # fmt: skip
    text = rendered("teams.md", message, longest=LONGEST_TEAMS)
    return _call(sender, message, text, body_format=NotifyFormat.MARKDOWN)


def _ntfy(address: ChannelAddress, message: AlertMessage) -> LibraryCall:
    is_over, alerts = (
        message.kind == AlertMessageKind.RESOLVED,
        [each for rule in message.rules for each in rule.alerts],
    )
    server, token = address.server, address.options["token"]
    sender = _sender(
        NotifyNtfy, message, targets=[address.target], mode="private" if server.host else "cloud", host=server.host,
        port=server.port, secure=address.is_encrypted, user=quote(address.user) or None,
        password=quote(address.password) or None, auth="token" if token else "basic", token=token or None,
        priority="low" if is_over else _PRIORITIES[message.severity],
        xtags=["white_check_mark" if is_over else "rotating_light" if message.severity == "critical" else "warning"],
        click=alerts[0].link if len(alerts) == 1 and alerts[0].link else None, include_image=False,
    )  # fmt: skip
    text = rendered("ntfy.txt", message, longest=LONGEST_NTFY)
    return _call(sender, message, text, message.title, body_format=NotifyFormat.TEXT)


def _pagerduty(
    address: ChannelAddress, message: AlertMessage, rule: ShownRule, alert: ShownAlert, *, key: str
) -> LibraryCall:
    is_over = alert.kind == AlertMessageKind.RESOLVED
    sender = _sender(
        NotifyPagerDuty, message, apikey=address.options["key"], integrationkey=address.options["key"],
        region_name=address.options["region"], source=message.installation, component="tds", group=rule.rule,
        class_id=alert.subject or rule.rule, severity=alert.severity.value, include_image=False,
        click=alert.link or None, action="resolve" if is_over else "trigger", dedup=f"{key}-{alert.alert_id}",
        details=_pagerduty_details(message, rule, alert),
    )  # fmt: skip
    about = f"{alert.title}: {alert.subject}" if alert.subject else alert.title
    return _call(sender, message, f"{about}: {alert.says}"[:LONGEST_PAGERDUTY])


def _pagerduty_details(message: AlertMessage, rule: ShownRule, alert: ShownAlert) -> dict[str, str]:
    found = {
        "since": alert.times, "sent now": alert.reason, "likely cause": rule.cause, "runbook": rule.runbook,
        "by itself TDS does": rule.automatic, "to do": rule.command, "mutes": alert.muted,
        "detail": "; ".join(alert.details), "message": message.id,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


_SENDERS: Mapping[ChannelKind, Callable[[ChannelAddress, AlertMessage], LibraryCall]] = {
    ChannelKind.EMAIL: _email,
    ChannelKind.SLACK: _slack,
    ChannelKind.TELEGRAM: _telegram,
    ChannelKind.TEAMS: _teams,
    ChannelKind.NTFY: _ntfy,
}
