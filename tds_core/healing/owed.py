"""Healing of work: what silent workers hold, letters whose time has come, and due work nobody was told of."""

from tds_core.healing.care import Care
from tds_core.healing.deeds import Deed, Outcome
from tds_core.letters.reviving import revive_due
from tds_core.sync.due import due_work
from tds_core.sync.rescue import Rescued, expire, holders, rescue
from tds_models.entities import ENTITIES

LEASES, LETTERS, NUDGES = "leases", "letters", "nudges"
# The dispatcher announces within a second and workers claim within another: so long, and something is wrong.
UNTOLD_SECONDS = 10.0


def rescued_deeds(rescued: Rescued) -> list[Deed]:
    """What is written down of a rescue; nothing of one that found nothing."""
    if not (rescued.item_count or rescued.run_count):
        return []
    detail = {name: getattr(rescued, name) for name in Rescued.__slots__}
    return [Deed(action=LEASES, count=rescued.item_count + rescued.run_count, detail=detail)]


def take_back_leases(care: Care) -> list[Deed]:
    """Take back what dead and silent workers hold."""
    with care.scope() as session:
        expire(session, care.dead(holders(session)))
        return rescued_deeds(rescue(session))


def revive_letters(care: Care) -> list[Deed]:
    """Retry dead letters whose time has come."""
    chosen = care.settings
    with care.scope() as session:
        count = revive_due(
            session,
            after_seconds=chosen.revive_after_seconds,
            most_times=chosen.revive_times,
            count=chosen.revive_at_once,
        )
    return [Deed(action=LETTERS, count=count)] if count else []


def announce_due(care: Care) -> list[Deed]:
    """Tell workers of work that has been due for long."""
    with care.scope() as session:
        work = due_work(session, list(ENTITIES))
    deeds = []
    for due in work:
        if due.oldest_seconds > UNTOLD_SECONDS:
            outcome = Outcome.DONE if care.announce(due.entity) else Outcome.FAILED
            deeds.append(
                Deed(
                    action=NUDGES,
                    entity=due.entity,
                    count=due.count,
                    outcome=outcome,
                    lasted_seconds=due.oldest_seconds,
                )
            )
    return deeds
