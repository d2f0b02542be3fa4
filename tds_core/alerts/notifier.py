"""The notifier: sends the messages that are due, several at once, and records what came of each."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.alerts import channel_tests, deliveries
from tds_core.alerts.channel_tests import ClaimedTest, SentBy
from tds_core.alerts.channels.sending import OpenChannel, SendOutcome, open_channel, send, send_test
from tds_core.alerts.deliveries import ClaimedDelivery, ClaimedMessage
from tds_core.alerts.messages import AlertMessage, MessageItem, compose, installation_name
from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import RULES
from tds_core.alerts.state_machine import AlertRecord
from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertMessageKind, AlertState

log = structlog.get_logger(__name__)

#: A channel gets so long for one message; the lease is longer.
SEND_SECONDS = 10.0
AT_ONCE = 8

_CHANNELS = text("select * from tds_alert_channels where id = any(:ids)")
_MUTED = text("""
select muted_by, rule, count(*) as alert_count from tds_alerts
where muted_by is not null and state in ('pending', 'firing', 'acknowledged', 'flapping') group by 1, 2 order by 1, 2
""")
_RULES: Mapping[str, Rule] = {rule.name: rule for rule in RULES}

Scope = Callable[[], AbstractContextManager[Session]]


class Notifier:
    """Sends in threads of its own, so that a slow channel delays neither the others nor the next evaluation."""

    def __init__(self, scope: Scope, settings: Settings) -> None:
        self._scope = scope
        self._settings = settings
        self._pool = ThreadPoolExecutor(AT_ONCE, "alert-messages")
        self._flying: dict[Future[None], int] = {}

    def send_due(self) -> int:
        """Claim what is due and begin to send it. Returns how many messages. Raises SQLAlchemyError."""
        self._flying = {each: channel for each, channel in self._flying.items() if not each.done()}
        if len(self._flying) >= AT_ONCE:
            return 0  # what waits for a thread would lose its lease
        with self._scope() as session:
            busy = set(self._flying.values())
            messages = deliveries.claim(session, database_clock(session), limit=AT_ONCE - len(busy), busy=busy)
            busy |= {each.channel_id for each in messages}
            tests = channel_tests.claim(session, limit=AT_ONCE - len(busy), busy=busy)
            if not messages and not tests:
                return 0
            channels = _open_channels(session, [*messages, *tests], self._settings)
            muted = _muted(session)
        for message in messages:
            sending = self._pool.submit(self._send, message, channels.get(message.channel_id), muted)
            self._flying[sending] = message.channel_id
        for test in tests:
            self._flying[self._pool.submit(self._test, test, channels.get(test.channel_id))] = test.channel_id
        return len(messages) + len(tests)

    def close(self) -> None:
        """Wait for the messages under way."""
        self._pool.shutdown(wait=True)

    def _send(
        self, claimed: ClaimedMessage, channel: OpenChannel | str | None, muted: Mapping[str, Sequence[str]]
    ) -> None:
        try:
            outcome = self._attempt(claimed, channel, muted)
            with self._scope() as session:
                deliveries.record(session, claimed, outcome)
        except SQLAlchemyError as error:  # sent perhaps, and not recorded: it is sent again when its lease ends
            log.warning("alert_message_not_recorded", message=str(claimed.message_id), error=type(error).__name__)

    def _test(self, claimed: ClaimedTest, channel: OpenChannel | str | None) -> None:
        if channel is None or isinstance(channel, str):
            outcome = _unopened(channel)
        else:
            outcome = send_test(channel, settings=self._settings)
        try:
            with self._scope() as session:
                channel_tests.record(
                    session, claimed.id, outcome, sent_by=SentBy.RUNNING, token=claimed.lease_token
                )  # fmt: skip
        except SQLAlchemyError as error:  # who asked for it hears that nothing came of it
            log.warning("alert_test_not_recorded", delivery=claimed.id, error=type(error).__name__)

    def _attempt(
        self, claimed: ClaimedMessage, channel: OpenChannel | str | None, muted: Mapping[str, Sequence[str]]
    ) -> SendOutcome:
        if channel is None or isinstance(channel, str):
            return _unopened(channel)
        try:
            message = message_of(
                [_item(each, muted) for each in claimed.deliveries],
                message_id=str(claimed.message_id), settings=self._settings, channel=channel,
            )  # fmt: skip
            outcome = send(channel, message, settings=self._settings, timeout=SEND_SECONDS)
        except Exception as error:  # a fault of one message must be seen, and keep no other from being sent
            log.exception("alert_message_failed", channel=channel.name)
            return SendOutcome(is_sent=False, error=f"{type(error).__name__}", is_permanent=False, duration_seconds=0.0)
        rules = sorted({each.alert.rule for each in claimed.deliveries})
        facts = {"message": str(claimed.message_id), "channel": channel.name, "kind": claimed.kind, "rules": rules}
        if outcome.is_sent:
            log.info("alert_message_sent", **facts)
        else:
            log.warning("alert_message_refused", error=outcome.error, **facts)
        return outcome


def _unopened(reason: str | None) -> SendOutcome:
    error = reason or "the channel is gone"
    return SendOutcome(is_sent=False, error=error, is_permanent=False, duration_seconds=0.0)


def message_of(
    items: Sequence[MessageItem], *, message_id: str, settings: Settings, channel: OpenChannel
) -> AlertMessage:
    """The message that a channel gets of some alerts."""
    return compose(
        items, message_id=message_id, installation=installation_name(settings),
        base_url=settings.public_url, with_detail=channel.with_detail,
    )  # fmt: skip


def item_of(alert: AlertRecord, kind: AlertMessageKind, *, reason: str = "", muted: Iterable[str] = ()) -> MessageItem:
    """What a message says of an alert; the words are its rule's."""
    rule = _RULES.get(alert.rule)
    titles = list(muted)
    since = alert.fired_at or alert.since_at or alert.seen_at
    assert since is not None  # noqa: S101  (an alert that fires has fired)
    return MessageItem(
        alert_id=alert.id or 0,
        rule=alert.rule,
        title=rule.title if rule else alert.rule,
        subject=alert.subject,
        severity=alert.severity,
        state=alert.state,
        kind=kind,
        since=since,
        ended=alert.resolved_at if kind is AlertMessageKind.RESOLVED else None,
        value=alert.value,
        says=alert.summary,
        cause=rule.cause if rule else "",
        automatic=rule.automatic if rule else "",
        command=rule.command if rule else f"tds alerts show {alert.id}",
        runbook=f"docs/runbooks/{rule.name}.md" if rule else "",
        detail=alert.detail,
        reason=reason,
        muted_count=len(titles),
        muted_titles=titles,
    )


def _item(delivery: ClaimedDelivery, muted: Mapping[str, Sequence[str]]) -> MessageItem:
    reason = delivery.reason or ("new" if delivery.kind is AlertMessageKind.FIRING else "")
    if delivery.alert.state is AlertState.FLAPPING:
        reason = f"{reason}; it fires and ends again and again, so further changes send no message".lstrip("; ")
    return item_of(delivery.alert, delivery.kind, reason=reason, muted=muted.get(delivery.alert.rule, ()))


def _open_channels(
    session: Session, messages: Sequence[ClaimedMessage | ClaimedTest], settings: Settings
) -> dict[int, OpenChannel | str]:
    """By id, the channels of messages; a text says why one cannot be opened."""
    rows = session.execute(_CHANNELS, {"ids": sorted({each.channel_id for each in messages})}).mappings()
    result: dict[int, OpenChannel | str] = {}
    for row in rows:
        try:
            result[row["id"]] = open_channel(row, Vault(settings.secret_key, settings.secret_key_previous))
        except ConfigError as error:
            result[row["id"]] = str(error)
    return result


def _muted(session: Session) -> dict[str, list[str]]:
    """By cause, the titles of what it mutes."""
    muted = defaultdict(list)
    for row in session.execute(_MUTED):
        title = _RULES[row.rule].title if row.rule in _RULES else row.rule
        muted[row.muted_by].append(title if row.alert_count == 1 else f"{title} ({row.alert_count})")
    return dict(muted)
