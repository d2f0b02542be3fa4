"""Outages of the database: told to the channels known last, once, and again when it is back.

While PostgreSQL is away no row can be read or written, so the process that evaluated last sends by itself. What it
knows is kept in TDS_HOME, too, with the addresses as locked as in their table: a process that is started meanwhile
goes on with it, and of several that miss the database each channel hears once. The end is a delivery like any other.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.alerts import deliveries
from tds_core.alerts.alert_store import alert_records, write_changes
from tds_core.alerts.channels.sending import open_channel, send
from tds_core.alerts.notifier import SEND_SECONDS, item_of, message_of
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rule_terms import declared_terms, terms_in_force
from tds_core.alerts.silences import Silence, open_silences, silence_of, silences_on
from tds_core.alerts.state_machine import AlertRecord, meet, resolve
from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.database_errors import is_away
from tds_core.errors import ConfigError
from tds_models.alerts import AlertMessageKind, AlertSeverity, AlertState

log = structlog.get_logger(__name__)

#: A restart of PostgreSQL is shorter.
LOST_SECONDS = 20.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0
FILE = "alert-channels.json"

Scope = Callable[[], AbstractContextManager[Session]]

_CHANNELS = text("""
select id, name, kind, locked, with_detail, minimum_severity, after_seconds from tds_alert_channels
where is_enabled and deleted_at is null order by after_seconds, id
""")
_TOLD = text("""
insert into tds_alert_deliveries (alert_id, episode, channel_id, kind, state, message_id, attempts, sent_at)
select a.id, a.episode, c.id, 'firing', 'sent', cast(:message_id as uuid), 1, now()
from tds_alerts a, tds_alert_channels c
where a.rule = :rule and a.subject = '' and c.id = any(:channels) on conflict do nothing
""")


class KnownChannel(msgspec.Struct, frozen=True):
    """A channel as it was known last; `locked`: its address, encrypted."""

    id: int
    name: str
    kind: str
    locked: bytes
    with_detail: bool
    minimum_severity: str
    after_seconds: int = 0


class Knowledge(msgspec.Struct):
    """What is known without the database. `lost_at`: since when it is away; `told`: ids of channels that know it."""

    severity: AlertSeverity = AlertSeverity.CRITICAL
    is_enabled: bool = True
    channels: list[KnownChannel] = []
    silences: list[Silence] = []
    lost_at: datetime | None = None
    told: list[int] = []
    message_id: str = ""


class DatabaseOutage:
    """Watches the database for one process. `rule`: `database_lost`, whose words are sent."""

    def __init__(self, settings: Settings, rule: Rule) -> None:
        self._settings = settings
        self._rule = rule
        self._path = Path(settings.home) / FILE
        self._known = Knowledge()
        self._written = b""
        self._failing_since: float | None = None
        self._attempts = 0
        self._next_attempt = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the database is away, as far as this process knows."""
        return self._known.lost_at is not None

    def adopt(self) -> None:
        """Go on with what a process before this one knew."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._known = msgspec.json.decode(self._path.read_bytes(), type=Knowledge)

    def answered(self, scope: Scope) -> None:
        """The database answers: learn the channels, and have those told of its loss told that it is back."""
        self._failing_since = None
        self._attempts = 0
        if self.is_on:
            with self._alone():
                if self._was_lost():
                    self._try_to_record(scope)
                self._known = Knowledge()
                self._keep()
        known = self._known
        with scope() as session:
            terms = terms_in_force(session, [self._rule])[self._rule.name]
            known.is_enabled, known.severity = terms.is_enabled, terms.severity
            rows = session.execute(_CHANNELS).mappings().all()
            known.channels = [KnownChannel(**{**row, "locked": bytes(row["locked"])}) for row in rows]
            known.silences = open_silences(session, datetime.now(UTC))
        self._keep()

    def _was_lost(self) -> bool:
        """Whether it was away for longer than a restart takes, or somebody was told so."""
        lost_at = self._known.lost_at
        if lost_at is None:
            return False
        return bool(self._known.told) or (datetime.now(UTC) - lost_at).total_seconds() >= LOST_SECONDS

    def failed(self) -> None:
        """The database does not answer: after a while tell the channels, each once."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        known = self._known
        if known.lost_at is None:
            known.lost_at, known.message_id = datetime.now(UTC), str(uuid4())
        is_early = now - self._failing_since < LOST_SECONDS or now < self._next_attempt
        if is_early or not self._is_due(known):
            return
        self._attempts += 1
        self._next_attempt = now + min(FIRST_PAUSE_SECONDS * 2**self._attempts, LONGEST_PAUSE_SECONDS)
        with self._alone():
            if self.is_on:
                self._announce_loss()

    def _announce_loss(self) -> None:
        known = self._known
        alert = replace(self._alert(), fired_at=known.lost_at, state=AlertState.FIRING)
        for channel in self._next_channels():
            if self._send(channel, alert):
                known.told.append(channel.id)
                self._keep()

    def _next_channels(self) -> list[KnownChannel]:
        """Those that should know by now and do not: nobody can acknowledge, so every step of escalation is taken."""
        known = self._known
        lost_seconds = (datetime.now(UTC) - known.lost_at).total_seconds() if known.lost_at else 0.0
        return [
            channel
            for channel in known.channels
            if channel.id not in known.told
            and channel.after_seconds <= lost_seconds
            and _rank(channel.minimum_severity) <= _rank(known.severity)
        ]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process of this TDS_HOME tells of an outage; what another told of it is known from then on."""
        with contextlib.ExitStack() as ends:
            with contextlib.suppress(OSError, msgspec.DecodeError):  # without files there is nobody to agree with
                lock = ends.enter_context(self._path.with_suffix(".lock").open("wb"))
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._agree(msgspec.json.decode(self._path.read_bytes(), type=Knowledge))
            yield

    def _agree(self, other: Knowledge) -> None:
        """Take over what another process told, or that it has told the end of what this one knew from it."""
        known = self._known
        if other.lost_at is not None and other.told:
            known.lost_at, known.message_id, known.told = other.lost_at, other.message_id, other.told
        elif other.lost_at is None and known.told:
            self._known = Knowledge(channels=other.channels)

    def _is_due(self, known: Knowledge) -> bool:
        if not known.is_enabled or not self._next_channels():
            return False
        return silence_of(self._alert(), silences_on(known.silences, datetime.now(UTC))) is None

    def _alert(self) -> AlertRecord:
        return AlertRecord(
            rule=self._rule.name, subject="", severity=self._known.severity,
            summary="PostgreSQL does not answer: webhooks are answered 503, and nothing is synced.",
        )  # fmt: skip

    def _send(self, known: KnownChannel, alert: AlertRecord) -> bool:
        try:
            row: Mapping[str, Any] = msgspec.structs.asdict(known)
            channel = open_channel(row, Vault(self._settings.secret_key, self._settings.secret_key_previous))
        except ConfigError as error:
            log.warning("alert_channel_not_opened", channel=known.name, error=str(error))
            return False
        kind, message_id = AlertMessageKind.FIRING, self._known.message_id
        message = message_of([item_of(alert, kind)], message_id=message_id, settings=self._settings, channel=channel)
        outcome = send(channel, message, settings=self._settings, timeout=SEND_SECONDS)
        facts = {"channel": known.name, "kind": kind, "rules": [alert.rule]}
        if outcome.is_sent:
            log.info("alert_message_sent", message=message_id, **facts)
        else:
            log.warning("alert_message_refused", message=message_id, error=outcome.error, **facts)
        return outcome.is_sent

    def _try_to_record(self, scope: Scope) -> None:
        """Record the outage. Raises SQLAlchemyError when the database is away again; another fault must not hold up
        the evaluation for ever.
        """
        try:
            self._record(scope)
        except SQLAlchemyError as error:
            if is_away(error):
                raise
            log.exception("database_outage_not_recorded")

    def _record(self, scope: Scope) -> None:
        """Write the outage into the history of alerts, with who was told; those get its end as that of any alert."""
        known, now = self._known, datetime.now(UTC)
        lost_at = known.lost_at or now
        with scope() as session:
            stored = {(alert.rule, alert.subject): alert for alert in alert_records(session)}
            alert = stored.get((self._rule.name, "")) or replace(self._alert(), summary="")
            terms = replace(declared_terms(self._rule), for_seconds=0, severity=known.severity)
            reading = RuleValue(value=1.0, says=self._alert().summary)
            write_changes(session, [meet(alert, reading, terms, lost_at)], lost_at)
            fired = next(each for each in alert_records(session) if each.rule == self._rule.name)
            told = {"rule": self._rule.name, "channels": known.told, "message_id": known.message_id}
            session.execute(_TOLD, told)
            ended = resolve(fired, now, reason="it answers again")
            over = replace(ended, after=replace(ended.after, summary="PostgreSQL answers again."))
            write_changes(session, [over], now)
            deliveries.conclude(session, [over.after])

    def _keep(self) -> None:
        content = msgspec.json.encode(self._known)
        if content == self._written:
            return
        with contextlib.suppress(OSError):  # it is only needed where a process is started during an outage
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            draft.write_bytes(content)
            draft.chmod(0o600)
            draft.replace(self._path)
            self._written = content


def _rank(severity: str) -> int:
    order: Sequence[AlertSeverity] = tuple(AlertSeverity)
    return order.index(AlertSeverity(severity))
