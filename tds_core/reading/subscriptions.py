"""Subscriptions and their deliveries as people and programs see them; never what signs."""

from sqlalchemy import BigInteger, ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from tds_core.reading.errors import NotFoundError
from tds_core.reading.paging import Page, Row, read_page
from tds_models.outbound import EventDelivery, Lane, Subscription

_HIDDEN = ("secret", "previous_secret", "message_key", "replayed_to", "rest_count")
#: Counting what is owed ends there.
MOST_COUNTED = 10_000

_OWED = select(Lane.id).where(Lane.subscription_id == Subscription.id).limit(MOST_COUNTED).correlate(Subscription)
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
