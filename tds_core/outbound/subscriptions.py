"""Subscriptions: made, paused, resumed, given another secret, deleted. A secret is shown once, when it is made."""

import re
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import TdsError
from tds_core.outbound import standing
from tds_core.outbound.addresses import Targets
from tds_core.outbound.signing import new_secret
from tds_core.outbound.spreading import TRAIL
from tds_core.reading.subscriptions import called, unknown
from tds_core.trail.finished import highest_id
from tds_models.entities import ENTITIES
from tds_models.outbound import EventKind, Subscription, SubscriptionState

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
    targets: Targets,
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
    standing.resolve(session, found.name, by=by)
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
    standing.resolve(session, found.name, by=by)
    session.delete(found)
    session.flush()
    return found


def relock(session: Session, vault: Vault) -> int:
    """Lock every secret with the vault's newest key. Returns how many subscriptions have one. Raises ConfigError."""
    found: Sequence[Any] = session.execute(select(Subscription).with_for_update(key_share=True)).scalars().all()
    for each in found:
        each.secret, each.previous_secret = vault.relock(each.secret), vault.relock(each.previous_secret)
    session.flush()
    return len(found)


def _set_state(subscription: Subscription, state: SubscriptionState, reason: str) -> None:
    subscription.state, subscription.state_reason = state.value, reason
    subscription.state_at = func.now()
