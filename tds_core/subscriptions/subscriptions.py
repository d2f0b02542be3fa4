"""Subscriptions: made, paused, resumed, given another secret, deleted. A secret is shown once, when it is made.

Subscriptions and their deliveries as people and programs see them; never what signs.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, func, literal_column, select, text
from sqlalchemy.orm import Session

from tds_core.audit.seal import highest_id
from tds_core.crypto import Vault
from tds_core.errors import NotFoundError, TdsError
from tds_core.pagination import Page, Row, read_page
from tds_core.subscriptions import endpoint_health
from tds_core.subscriptions.fan_out import TRAIL
from tds_core.subscriptions.payload import new_secret
from tds_core.subscriptions.ssrf_guard import TargetPolicy
from tds_models.entities import ENTITIES
from tds_models.subscriptions import EventDelivery, EventKind, PendingDelivery, Subscription, SubscriptionState

_HIDDEN = ("secret", "previous_secret", "message_key", "replayed_to", "rest_count")
#: Counting what is owed ends there.
MOST_COUNTED = 10_000

_OWED = (
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
    select(func.count()).select_from(_OWED.lateral()).scalar_subquery().label("owed_count"),
    func.greatest(_HIGHEST - Subscription.position, 0).label("behind_count"),
)


def subscriptions(session: Session, *, cursor: str | None = None, limit: int = 50, state: str | None = None) -> Page:
    """Subscriptions, the newest first: how each stands, and what it is owed.

    `owed_count` are records with events to be sent, `behind_count` changes not looked at for it yet.
    """
    statement = select(*_SHOWN)
    if state is not None:
        statement = statement.where(Subscription.state == state)
    return read_page(session, statement, keys=[Subscription.__table__.c.id], cursor=cursor, limit=limit)


def subscription(session: Session, name_or_id: str) -> Row:
    """One subscription by its name or id. Raises NotFoundError."""
    row = session.execute(select(*_SHOWN).where(called(name_or_id))).mappings().one_or_none()
    if row is None:
        raise unknown(name_or_id)
    return dict(row)


def called(name_or_id: str) -> ColumnElement[bool]:
    """Whether a subscription has this name or id; names are no numbers. Raises NotFoundError for what is neither."""
    if not name_or_id.isascii() or "\x00" in name_or_id:
        raise unknown(name_or_id)
    is_id = name_or_id.isdecimal() and len(name_or_id) < 19
    return Subscription.id == int(name_or_id) if is_id else Subscription.name == name_or_id


def unknown(name_or_id: str) -> NotFoundError:
    """What is said of a subscription nobody made."""
    return NotFoundError(f"There is no subscription {name_or_id[:80]!r}; see: tds subscriptions list")


def deliveries(
    session: Session, name_or_id: str, *, cursor: str | None = None, limit: int = 50, state: str | None = None
) -> Page:
    """What was sent to a subscription and what came of it, the newest first. Raises NotFoundError."""
    of = subscription(session, name_or_id)["id"]
    statement = select(*EventDelivery.__table__.columns).where(EventDelivery.subscription_id == of)
    if state is not None:
        statement = statement.where(EventDelivery.state == state)
    return read_page(session, statement, keys=[EventDelivery.__table__.c.id], cursor=cursor, limit=limit)


GRACE_SECONDS = 86_400.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


class SubscriptionUnfitError(TdsError):
    """What a subscription asks for does not exist, or its name is taken."""

    code = "subscription_unfit"


# Whoever writes history now ends first, and nobody begins until we commit: what comes later is behind the position.
_STAND_STILL = text(f"""
set local lock_timeout = '10s'; lock table {TRAIL} in share mode
""")


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
    """A new subscription, and its secret; it hears of every change that commits after this does.

    Raises SubscriptionUnfitError or TargetRefusedError.
    """
    _check(session, name, entities, kinds, fields)
    targets.check_url(url)
    secret = new_secret()
    session.execute(_STAND_STILL)
    subscription = Subscription(
        name=name, url=url, entities=sorted(set(entities)), kinds=sorted(set(kinds)), fields=sorted(set(fields)),
        secret=vault.lock(secret), message_key=secrets.token_hex(5), position=highest_id(session, TRAIL), created_by=by,
    )  # fmt: skip
    session.add(subscription)
    session.flush()
    return subscription.id, secret


def _check(session: Session, name: str, entities: Sequence[str], kinds: Sequence[str], fields: Sequence[str]) -> None:
    if not _NAME.fullmatch(name) or name.isdecimal():
        raise SubscriptionUnfitError("A name has 1 to 60 small letters, digits or . _ -, and is no number.")
    if session.execute(select(Subscription.id).where(Subscription.name == name)).first():
        raise SubscriptionUnfitError(f"There is a subscription {name!r} already.")
    if unknown := set(entities) - set(ENTITIES):
        raise SubscriptionUnfitError(f"No entity is called {min(unknown)!r:.80}. Entities: {', '.join(ENTITIES)}.")
    if unknown := set(kinds) - set(EventKind):
        raise SubscriptionUnfitError(f"No kind of event is called {min(unknown)!r:.80}: {', '.join(EventKind)}.")
    known = {each for name in entities or ENTITIES for each in _fields_of(name)}
    if unknown := set(fields) - known:
        raise SubscriptionUnfitError(f"None of these entities has a field {min(unknown)!r:.80}.")


def _fields_of(entity: str) -> list[str]:
    declared = ENTITIES[entity]
    return [field.name for field in declared.fields] + [lines.name for lines in declared.lines]


def named(session: Session, name_or_id: str) -> Subscription:
    """A subscription by its name or id, ours until the transaction ends. Raises NotFoundError."""
    wanted = select(Subscription).where(called(name_or_id)).with_for_update(key_share=True)
    found = session.execute(wanted).scalar_one_or_none()
    if found is None:
        raise unknown(name_or_id)
    return found


def pause(session: Session, name_or_id: str, *, by: str) -> Subscription:
    """Send nothing until it is resumed; what changes meanwhile is sent then. Raises NotFoundError."""
    found = named(session, name_or_id)
    if found.state == SubscriptionState.ACTIVE:
        _set_state(found, SubscriptionState.PAUSED, f"paused by {by}")
    return found


# A person's word begins anew: attempts made before count no more.
_AGAIN = text("""
update tds_outbound_lanes set attempts = 0, failed_at = null, next_attempt_at = now()
where subscription_id = :id and lease_token is null
""")


def resume(session: Session, name_or_id: str, *, by: str) -> Subscription:
    """Send again, at once, all that waits, whether it was paused, disabled or rested. Raises NotFoundError."""
    found = named(session, name_or_id)
    _set_state(found, SubscriptionState.ACTIVE, f"resumed by {by}")
    found.failure_count = found.rest_count = 0
    found.failing_since = found.rests_until = None
    session.flush()
    session.execute(_AGAIN, {"id": found.id})
    endpoint_health.resolve(session, found.name, by=by)
    return found


def rotate(
    session: Session, vault: Vault, name_or_id: str, *, grace_seconds: float = GRACE_SECONDS
) -> tuple[Subscription, str]:
    """Another secret; the one in use signs beside it for `grace_seconds`. Raises NotFoundError."""
    found, secret = named(session, name_or_id), new_secret()
    found.previous_secret = found.secret
    found.previous_until = session.execute(
        select(func.now() + func.make_interval(0, 0, 0, 0, 0, 0, grace_seconds))
    ).scalar_one()
    found.secret = vault.lock(secret)
    session.flush()
    return found, secret


def delete(session: Session, name_or_id: str, *, by: str) -> Subscription:
    """End a subscription, with what it is owed and what is known of its deliveries. Raises NotFoundError."""
    found = named(session, name_or_id)
    endpoint_health.resolve(session, found.name, by=by)
    session.delete(found)
    session.flush()
    return found


def reencrypt(session: Session, vault: Vault) -> int:
    """Lock every secret with the vault's newest key. Returns how many subscriptions have one. Raises ConfigError."""
    found: Sequence[Any] = session.execute(select(Subscription).with_for_update(key_share=True)).scalars().all()
    for each in found:
        each.secret, each.previous_secret = vault.relock(each.secret), vault.relock(each.previous_secret)
    session.flush()
    return len(found)


def _set_state(subscription: Subscription, state: SubscriptionState, reason: str) -> None:
    subscription.state, subscription.state_reason = state.value, reason
    subscription.state_at = func.now()
