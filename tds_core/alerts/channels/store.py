"""Channels as rows: create, change, rotate, delete, read. What can be seen of their addresses is the masked text.

The secret of a webhook is returned once, when it is made. A deleted channel keeps its row for the deliveries it got,
without what was locked in it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypedDict, cast

from marshmallow import ValidationError
from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from tds_core.alerts.channels.address import ChannelAddress, ChannelKind, InvalidChannelError
from tds_core.alerts.channels.address_parsers import check_target, policy_for, read_address
from tds_core.alerts.channels.channel_secrets import locked, new_secrets, opened
from tds_core.alerts.channels.library import check_address
from tds_core.alerts.channels.sending import OpenChannel, open_channel
from tds_core.config.sources import zone_named
from tds_core.crypto import Vault
from tds_core.errors import NotFoundError
from tds_core.pagination import Page, read_page
from tds_core.subscriptions.ssrf_guard import TargetPolicy
from tds_models.alerts import AlertChannel, AlertSeverity

#: How long a webhook's secret that was replaced signs beside the new one.
GRACE_SECONDS = 86_400.0
LONGEST_WAIT_SECONDS, LONGEST_REMINDER_SECONDS, SHORTEST_REMINDER_SECONDS = 604_800, 2_592_000, 300
_HIDDEN = ("locked", "deleted_at")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_SHOWN = tuple(column for column in AlertChannel.__table__.columns if column.key not in _HIDDEN)


class ChannelTerms(TypedDict, total=False):
    """What of a channel can be set beside its name and address.

    `minimum_severity`: of the alerts it gets. `after_seconds`: it is told of what nobody acknowledged for so long.
    `reminder_seconds`: 0 for none. `quiet_hours`: as `22:00-07:00` in `time_zone`, None for none. `with_detail`: its
    messages may hold texts of errors.
    """

    is_enabled: bool
    minimum_severity: str
    after_seconds: int
    reminder_seconds: int
    quiet_hours: str | None
    time_zone: str
    with_detail: bool


class ChannelRow(TypedDict):
    """A channel without its secrets. `masked`: its address for people; `failure_count`: failed messages in a row."""

    id: int
    name: str
    kind: str
    masked: str
    is_enabled: bool
    minimum_severity: str
    after_seconds: int
    reminder_seconds: int
    quiet_hours: str | None
    time_zone: str
    with_detail: bool
    failure_count: int
    failing_since: datetime | None
    last_error: str | None
    sent_at: datetime | None
    created_by: str
    created_at: datetime


def channels(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page[ChannelRow]:
    """Channels, newest first. Raises InvalidCursorError."""
    statement = select(*_SHOWN).where(AlertChannel.deleted_at.is_(None))
    return read_page(session, statement, keys=[AlertChannel.__table__.c.id], cursor=cursor, limit=limit)


def channel(session: Session, name_or_id: str) -> ChannelRow:
    """One channel by its name or id. Raises NotFoundError."""
    row = session.execute(select(*_SHOWN).where(_matches(name_or_id))).mappings().one_or_none()
    if row is None:
        raise _not_found(name_or_id)
    return cast("ChannelRow", dict(row))


def opened_channel(session: Session, vault: Vault, name_or_id: str) -> OpenChannel:
    """A channel ready to send, for a test. Raises NotFoundError, and ConfigError when it cannot be decrypted."""
    return open_channel(_locked_channel(session, name_or_id), vault)


# What a channel refused for good is sent after all, if its alert still fires.
_TRY_AGAIN = text("""
update tds_alert_deliveries d set state = 'queued', attempts = 0, next_attempt_at = now(),
    reason = 'the channel was changed'
from tds_alerts a
where d.channel_id = :id and d.state = 'failed' and d.kind = 'firing' and a.id = d.alert_id and a.episode = d.episode
  and a.state in ('firing', 'flapping')
""")


def create(
    session: Session, vault: Vault, targets: TargetPolicy, *, name: str, address: str, by: str, terms: ChannelTerms
) -> tuple[int, str | None]:
    """Create a channel. Returns its id, and the secret that signs if it is a webhook.

    Raises InvalidChannelError, and TargetRefusedError for a host that may not be reached.
    """
    _check_name(session, name)
    parsed = _checked_address(address, targets)
    secrets = new_secrets(address.strip(), is_signed=parsed.kind == ChannelKind.WEBHOOK)
    created = AlertChannel(
        name=name, kind=parsed.kind.value, masked=parsed.masked, locked=locked(vault, secrets), created_by=by,
        **_checked_terms(terms),
    )  # fmt: skip
    session.add(created)
    session.flush()
    return created.id, secrets.signing or None


def change(
    session: Session, vault: Vault, targets: TargetPolicy, name_or_id: str, *, terms: ChannelTerms, address: str = ""
) -> AlertChannel:
    """Change terms of a channel, and its address for one of the same kind. Failures before no longer count.

    Raises NotFoundError, InvalidChannelError and TargetRefusedError.
    """
    row = _locked_channel(session, name_or_id)
    for field, value in _checked_terms(terms).items():
        setattr(row, field, value)
    if address:
        parsed = _checked_address(address, targets)
        if parsed.kind.value != row.kind:
            raise InvalidChannelError(f"This is an address of {parsed.kind.value}; make another channel for it.")
        row.locked = locked(vault, opened(vault, row.locked).moved(address.strip()))
        row.masked = parsed.masked
    row.failure_count, row.failing_since, row.last_error = 0, None, None
    session.flush()
    session.execute(_TRY_AGAIN, {"id": row.id})
    return row


def rotate(
    session: Session, vault: Vault, name_or_id: str, *, grace_seconds: float = GRACE_SECONDS
) -> tuple[AlertChannel, str]:
    """Make a new secret for a webhook; the present one signs beside it for `grace_seconds`.

    Raises NotFoundError, and InvalidChannelError for a channel of another kind.
    """
    row = _locked_channel(session, name_or_id)
    if row.kind != ChannelKind.WEBHOOK:
        raise InvalidChannelError(f"Only webhooks are signed; a channel of {row.kind} gets a new address instead.")
    now = session.execute(select(func.now())).scalar_one()
    secrets = opened(vault, row.locked).rotated(now + timedelta(seconds=grace_seconds))
    row.locked = locked(vault, secrets)
    session.flush()
    return row, secrets.signing


def delete(session: Session, name_or_id: str) -> AlertChannel:
    """Delete a channel: it gets no message any more, and its secrets are gone. Raises NotFoundError."""
    row = _locked_channel(session, name_or_id)
    row.locked, row.is_enabled, row.deleted_at = b"", False, datetime.now(UTC)
    session.flush()
    return row


def _locked_channel(session: Session, name_or_id: str) -> AlertChannel:
    statement = select(AlertChannel).where(_matches(name_or_id)).with_for_update(key_share=True)
    row = session.execute(statement).scalar_one_or_none()
    if row is None:
        raise _not_found(name_or_id)
    return row


def _matches(name_or_id: str) -> ColumnElement[bool]:
    """The condition for a name or id; a name is never a number. Raises NotFoundError for text that can be neither."""
    if not name_or_id.isascii() or "\x00" in name_or_id:
        raise _not_found(name_or_id)
    is_id = name_or_id.isdecimal() and len(name_or_id) < 19
    named = AlertChannel.id == int(name_or_id) if is_id else AlertChannel.name == name_or_id
    return named & AlertChannel.deleted_at.is_(None)


def _not_found(name_or_id: str) -> NotFoundError:
    return NotFoundError(f"There is no channel {name_or_id[:80]!r}; see: tds alerts channels list")


def _check_name(session: Session, name: str) -> None:
    if not _NAME.fullmatch(name) or name.isdecimal():
        raise InvalidChannelError("A name has 1 to 60 small letters, digits or . _ -, and is no number.")
    taken = select(AlertChannel.id).where(AlertChannel.name == name, AlertChannel.deleted_at.is_(None))
    if session.execute(taken).first():
        raise InvalidChannelError(f"There is a channel {name!r} already.")


def _checked_address(address: str, targets: TargetPolicy) -> ChannelAddress:
    parsed = read_address(address)
    if parsed.kind != ChannelKind.WEBHOOK:
        check_address(parsed)
    check_target(parsed, policy_for(parsed, targets))
    return parsed


def _checked_terms(terms: ChannelTerms) -> Mapping[str, Any]:
    """The same terms. Raises InvalidChannelError for the first that is not valid."""
    for name, (is_valid, says) in _TERMS.items():
        if name in terms and not is_valid(terms[name]):  # type: ignore[literal-required]
            raise InvalidChannelError(f"{name}: {says}.")
    return cast("Mapping[str, Any]", terms)


def _are_quiet_hours(value: str | None) -> bool:
    if value is None:
        return True
    if not re.fullmatch(r"\d\d:\d\d-\d\d:\d\d", value):
        return False
    try:
        begin, end = map(time.fromisoformat, value.split("-"))
    except ValueError:
        return False
    return begin != end


def _is_time_zone(value: str) -> bool:
    try:
        return bool(zone_named(value))
    except ValidationError:
        return False


_TERMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "minimum_severity": (lambda value: value in set(AlertSeverity), f"one of {', '.join(AlertSeverity)}"),
    "after_seconds": (
        lambda value: 0 <= value <= LONGEST_WAIT_SECONDS, f"0 to {LONGEST_WAIT_SECONDS} seconds (a week)"
    ),
    "reminder_seconds": (
        lambda value: value == 0 or SHORTEST_REMINDER_SECONDS <= value <= LONGEST_REMINDER_SECONDS,
        f"0 for none, or {SHORTEST_REMINDER_SECONDS} to {LONGEST_REMINDER_SECONDS} seconds",
    ),
    "quiet_hours": (_are_quiet_hours, "two times of a day, as 22:00-07:00"),
    "time_zone": (_is_time_zone, "the name of a time zone, as Europe/Berlin"),
}  # fmt: skip
