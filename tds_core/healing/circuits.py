"""Healing of breakers: one that is due to be probed and that no work would probe is asked about by us."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import text

from tds_core.breakers.breakers import BreakersAwayError
from tds_core.breakers.circuit import State
from tds_core.breakers.states import BreakerState
from tds_core.healing.care import Care
from tds_core.healing.deeds import Deed, Outcome
from tds_core.sources.errors import SNOOZE, SourceError
from tds_core.sources.traffic import Traffic
from tds_core.sync import waking
from tds_models.entities import ENTITIES
from tds_models.entity import Entity

BREAKERS = "breakers"

WAITS = text("""
select exists (select from tds_sync_queue where waits_for = :name and lease_token is null)
    or exists (select from tds_sync_runs where waits_for = :name and lease_token is null)
""")


def retest(care: Care) -> list[Deed]:
    """Probe every open breaker whose time has come: by work that waits for it, else by the first page of a list."""
    try:
        states = care.breakers.states(of_all=True)
    except BreakersAwayError:
        return []  # without Redis every process asks for itself
    now = datetime.now(UTC)
    due = [each for each in states if each.next_probe_at and each.next_probe_at <= now]
    return [deed for state in due if (deed := _retest(care, state))]


def _retest(care: Care, state: BreakerState) -> Deed | None:
    lasted = (datetime.now(UTC) - state.opened_at).total_seconds() if state.opened_at else None
    with care.scope() as session:
        if session.execute(WAITS, {"name": state.name}).scalar():
            waking.wake_one(session, state.name, entities=list(ENTITIES))
            return Deed(action=BREAKERS, subject=state.name, lasted_seconds=lasted, detail={"probed_by": "work"})
    entity = listed_under().get(state.name)
    if entity is None:
        return None  # the token endpoint is asked when a token is needed, the database at every transaction
    try:
        _ask(care, entity, state.name)
    except SNOOZE:
        return None  # somebody else's probe, or no leave to ask: another time
    except SourceError as error:
        failed = {"probed_by": "a list", "error": f"{error.code}: {error}"[:200]}
        return Deed(action=BREAKERS, subject=state.name, outcome=Outcome.FAILED, lasted_seconds=lasted, detail=failed)
    detail = {"probed_by": "a list", "closed": _is_closed(care, state.name)}
    return Deed(action=BREAKERS, subject=state.name, lasted_seconds=lasted, detail=detail)


def _ask(care: Care, entity: Entity, name: str) -> None:
    """As many calls as close a breaker; nothing changed since now, so the answers are short."""
    since = datetime.now(UTC) if entity.stream.modified_key else None
    client = care.source(entity.stream.source)
    for _ in range(care.settings.breaker_successes):
        client.list_page(entity.stream, since=since, page=1, traffic=Traffic.SCHEDULED)
        if _is_closed(care, name):
            return


def listed_under() -> Mapping[str, Entity]:
    """An entity whose list goes through each breaker, by the breaker's name."""
    return {
        f"{each.stream.source}.{each.stream.api}.{each.stream.path.partition('/')[0]}": each
        for each in ENTITIES.values()
    }


def _is_closed(care: Care, name: str) -> bool:
    try:
        return any(each.name == name and each.state is State.CLOSED for each in care.breakers.states(of_all=True))
    except BreakersAwayError:
        return False
