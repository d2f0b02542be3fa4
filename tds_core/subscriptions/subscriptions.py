"""Subscriptions: create, pause, resume, rotate the secret, delete; and lists of them and of their deliveries.

A secret is returned once, when it is made; no read returns it.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, cast

from sqlalchemy import BigInteger, ColumnElement, func, literal_column, select, text
from sqlalchemy.orm import Session

from tds_core.audit_trail.seal import highest_id
from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.errors import NotFoundError, TdsError
from tds_core.pagination import Page, read_page
from tds_core.subscriptions import endpoint_health
from tds_core.subscriptions.fan_out import TRAIL
from tds_core.subscriptions.signed_events import new_secret
from tds_core.subscriptions.ssrf_guard import TargetPolicy
from tds_models.entities import ENTITIES
from tds_models.subscriptions import EventDelivery, EventKind, PendingDelivery, Subscription, SubscriptionState

_HIDDEN = ("secret", "previous_secret", "message_key", "replayed_to", "rest_count")
#: Pending deliveries are counted up to this.
MOST_COUNTED = 10_000
GRACE_SECONDS = 86_400.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


class SubscriptionRow(TypedDict):
    """A subscription without its secrets. Empty `entities`, `kinds` or `fields` stand for all.

    `previous_until`: until when the previous secret signs, too; `failure_count`: failed attempts in a row;
    `delivered_at`: when it last accepted an event; `owed_count`: records with pending events, at most MOST_COUNTED;
    `behind_count`: changes not fanned out to it yet.
    """

    id: int
    name: str
    url: str
    entities: list[str]
    kinds: list[str]
    fields: list[str]
    previous_until: datetime | None
    state: str
    state_reason: str | None
    state_at: datetime
    position: int
    replay_count: int
    failure_count: int
    failing_since: datetime | None
    rests_until: datetime | None
    delivered_at: datetime | None
    created_by: str
    created_at: datetime
    owed_count: int
    behind_count: int


class DeliveryTry(TypedDict):
    """One attempt at a delivery. `at`: ISO 8601; `status`: None without a response; `error`: None after success."""

    at: str
    status: int | None
    seconds: float
    error: str | None


class DeliveryRow(TypedDict):
    """A delivery of an event. `message_id`: its webhook-id; `tries`: its attempts, oldest first."""

    id: int
    subscription_id: int
    message_id: str
    entry_id: int
    source: str
    entity: str
    source_id: str
    version: int
    state: str
    attempts: int
    status: int | None
    duration_seconds: float
    error: str | None
    tries: list[DeliveryTry]
    first_attempted_at: datetime
    attempted_at: datetime


_PENDING = (
    select(PendingDelivery.id)
    .where(PendingDelivery.subscription_id == Subscription.id)
    .limit(MOST_COUNTED)
    .correlate(Subscription)
)
_HIGHEST = literal_column(
    "coalesce(pg_sequence_last_value(cast(pg_get_serial_sequence('tds_audit_trail', 'id') as regclass)), 0)", BigInteger
)
_SHOWN = (
    *(column for column in Subscription.__table__.columns if column.key not in _HIDDEN),
    select(func.count()).select_from(_PENDING.lateral()).scalar_subquery().label("owed_count"),
    func.greatest(_HIGHEST - Subscription.position, 0).label("behind_count"),
)
# Waits until running transactions that write history have ended, and keeps new ones out until this one commits: every
# later change is behind the position.
_FREEZE_HISTORY = text("set local lock_timeout = '10s'; select tds_freeze_history()")
# After an operator resumed it, earlier attempts no longer count.
_RETRY_NOW = text("""
update tds_outbound_lanes set attempts = 0, failed_at = null, next_attempt_at = now()
where subscription_id = :id and lease_token is null
""")


class InvalidSubscriptionError(TdsError):
    """The name of a subscription is not allowed or taken, or an entity, kind or field does not exist."""

    code = "subscription_unfit"


def subscriptions(
    session: Session, *, cursor: str | None = None, limit: int = 50, state: str | None = None
) -> Page[SubscriptionRow]:
    """Subscriptions with their state, newest first. Raises InvalidCursorError."""
    statement = select(*_SHOWN)
    if state is not None:
        statement = statement.where(Subscription.state == state)
    return read_page(session, statement, keys=[Subscription.__table__.c.id], cursor=cursor, limit=limit)


def subscription(session: Session, name_or_id: str) -> SubscriptionRow:
    """One subscription by its name or id. Raises NotFoundError."""
    row = session.execute(select(*_SHOWN).where(_matches(name_or_id))).mappings().one_or_none()
    if row is None:
        raise _not_found(name_or_id)
    return cast("SubscriptionRow", dict(row))


def deliveries(
    session: Session, name_or_id: str, *, cursor: str | None = None, limit: int = 50, state: str | None = None
) -> Page[DeliveryRow]:
    """The deliveries of a subscription, newest first. Raises NotFoundError and InvalidCursorError."""
    subscription_id = subscription(session, name_or_id)["id"]
    statement = select(*EventDelivery.__table__.columns).where(EventDelivery.subscription_id == subscription_id)
    if state is not None:
        statement = statement.where(EventDelivery.state == state)
    return read_page(session, statement, keys=[EventDelivery.__table__.c.id], cursor=cursor, limit=limit)


def create(
    session: Session,
    vault: Vault,
    targets: TargetPolicy,
    *,
    name: str,
    url: str,
    by: str,
    entities: Sequence[str] = (),
    kinds: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> tuple[int, str]:
    """Create a subscription. Returns its id and secret. It gets every change that commits after this transaction.

    Raises InvalidSubscriptionError and TargetRefusedError.
    """
    _check(session, name, entities, kinds, fields)
    targets.check_url(url)
    secret = new_secret()
    session.execute(_FREEZE_HISTORY)
    subscription = Subscription(
        name=name, url=url, entities=sorted(set(entities)), kinds=sorted(set(kinds)), fields=sorted(set(fields)),
        secret=vault.lock(secret), message_key=secrets.token_hex(5), position=highest_id(session, TRAIL), created_by=by,
    )  # fmt: skip
    session.add(subscription)
    session.flush()
    return subscription.id, secret


def pause(session: Session, name_or_id: str, *, by: str) -> Subscription:
    """Send nothing until it is resumed; changes meanwhile are sent then. Raises NotFoundError."""
    subscription = locked_subscription(session, name_or_id)
    if subscription.state == SubscriptionState.ACTIVE:
        _set_state(subscription, SubscriptionState.PAUSED, f"paused by {by}")
    return subscription


def resume(session: Session, name_or_id: str, *, by: str) -> Subscription:
    """Activate a paused, disabled or resting subscription and send its pending events at once. Raises NotFoundError."""
    subscription = locked_subscription(session, name_or_id)
    _set_state(subscription, SubscriptionState.ACTIVE, f"resumed by {by}")
    subscription.failure_count = subscription.rest_count = 0
    subscription.failing_since = subscription.rests_until = None
    session.flush()
    session.execute(_RETRY_NOW, {"id": subscription.id})
    endpoint_health.resolve(session, subscription.name, by=by)
    return subscription


def rotate(
    session: Session, vault: Vault, name_or_id: str, *, grace_seconds: float = GRACE_SECONDS
) -> tuple[Subscription, str]:
    """Make a new secret; the present one signs beside it for `grace_seconds`. Raises NotFoundError."""
    subscription, secret = locked_subscription(session, name_or_id), new_secret()
    subscription.previous_secret = subscription.secret
    subscription.previous_until = session.execute(
        select(func.now() + func.make_interval(0, 0, 0, 0, 0, 0, grace_seconds))
    ).scalar_one()
    subscription.secret = vault.lock(secret)
    session.flush()
    return subscription, secret


def delete(session: Session, name_or_id: str, *, by: str) -> Subscription:
    """Delete a subscription with its pending and past deliveries. Raises NotFoundError."""
    subscription = locked_subscription(session, name_or_id)
    endpoint_health.resolve(session, subscription.name, by=by)
    session.delete(subscription)
    session.flush()
    return subscription


def vault_of(settings: Settings) -> Vault:
    """What encrypts the secrets. Raises ConfigError when TDS_SECRET_KEY is not set."""
    settings.require("TDS_SECRET_KEY")
    return Vault(settings.secret_key, settings.secret_key_previous)


def reencrypt(session: Session, vault: Vault) -> int:
    """Encrypt every secret with the vault's newest key. Returns the number of subscriptions. Raises ConfigError."""
    rows: Sequence[Any] = session.execute(select(Subscription).with_for_update(key_share=True)).scalars().all()
    for row in rows:
        row.secret, row.previous_secret = vault.relock(row.secret), vault.relock(row.previous_secret)
    session.flush()
    return len(rows)


def locked_subscription(session: Session, name_or_id: str) -> Subscription:
    """A subscription by its name or id, locked until the transaction ends. Raises NotFoundError."""
    statement = select(Subscription).where(_matches(name_or_id)).with_for_update(key_share=True)
    subscription = session.execute(statement).scalar_one_or_none()
    if subscription is None:
        raise _not_found(name_or_id)
    return subscription


def _matches(name_or_id: str) -> ColumnElement[bool]:
    """The condition for a name or id; a name is never a number. Raises NotFoundError for text that can be neither."""
    if not name_or_id.isascii() or "\x00" in name_or_id:
        raise _not_found(name_or_id)
    is_id = name_or_id.isdecimal() and len(name_or_id) < 19
    return Subscription.id == int(name_or_id) if is_id else Subscription.name == name_or_id


def _not_found(name_or_id: str) -> NotFoundError:
    return NotFoundError(f"There is no subscription {name_or_id[:80]!r}; see: tds subscriptions list")


def _check(session: Session, name: str, entities: Sequence[str], kinds: Sequence[str], fields: Sequence[str]) -> None:
    if not _NAME.fullmatch(name) or name.isdecimal():
        raise InvalidSubscriptionError("A name has 1 to 60 small letters, digits or . _ -, and is no number.")
    if session.execute(select(Subscription.id).where(Subscription.name == name)).first():
        raise InvalidSubscriptionError(f"There is a subscription {name!r} already.")
    if unknown := set(entities) - set(ENTITIES):
        raise InvalidSubscriptionError(f"No entity is called {min(unknown)!r:.80}. Entities: {', '.join(ENTITIES)}.")
    if unknown := set(kinds) - set(EventKind):
        raise InvalidSubscriptionError(f"No kind of event is called {min(unknown)!r:.80}: {', '.join(EventKind)}.")
    known = {field for entity in entities or ENTITIES for field in _fields_of(entity)}
    if unknown := set(fields) - known:
        raise InvalidSubscriptionError(f"None of these entities has a field {min(unknown)!r:.80}.")


def _fields_of(entity: str) -> list[str]:
    declared = ENTITIES[entity]
    return [field.name for field in declared.fields] + [lines.name for lines in declared.lines]


def _set_state(subscription: Subscription, state: SubscriptionState, reason: str) -> None:
    subscription.state, subscription.state_reason = state.value, reason
    subscription.state_at = func.now()
