"""The health of what TDS stands on: the schema, Redis, what breakers leave alone, memory and disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from tds_core.breakers.breakers import Breakers, BreakersAwayError
from tds_core.config import Settings
from tds_core.memory import used_share
from tds_core.reading import readiness
from tds_core.reading.health import Component, Facts, State, components, facts

MEMORY_SHARE, DISK_SHARE = 0.80, 0.90


def look(session: Session, settings: Settings) -> Facts:
    """What the database says of itself and of all that reports to it."""
    found = facts(session, depth_warning=settings.depth_warning, depth_critical=settings.depth_critical)
    return {**found, "revision": readiness.revision(session)}


def judged(found: Facts, settings: Settings, breakers: Breakers) -> list[Component]:
    """Every component of this installation, what it stands on first. Asks Redis: let no transaction be open meanwhile.

    `found` is from `look`.
    """
    return [*_below(found, settings, breakers), *components(found)]


def _below(found: Facts, settings: Settings, breakers: Breakers) -> Iterator[Component]:
    yield schema(found["revision"])
    yield redis(settings)
    yield quiet(breakers)
    yield memory(used_share())
    yield disk(settings.home)


def schema(found: str) -> Component:
    """Whether the database has the tables of this version."""
    if readiness.is_migrated(found):
        return Component("database", State.OK, f"answers, revision {found}")
    return Component("database", State.CRITICAL, f"is at revision {found}, this version needs more", "Run: tds migrate")


def redis(settings: Settings) -> Component:
    """Away it costs speed, not work: the database holds what is owed."""
    if not settings.redis_url:
        return Component("redis", State.WARNING, "is not configured here", "Set TDS_REDIS_URL, or run: tds up")
    if readiness.redis_answers(settings.redis_url):
        return Component("redis", State.OK, "answers")
    return Component("redis", State.WARNING, "does not answer; nothing is lost, but syncs wait", "See: tds doctor")


def quiet(breakers: Breakers) -> Component:
    """What is left alone because it fails; without Redis each process knows only its own."""
    try:
        found = breakers.states(of_all=True)
    except BreakersAwayError:
        return Component("breakers", State.OK, "are kept by each process alone")
    shut = [f"{each.name} {each.state}: {each.last_error}" for each in found if each.next_probe_at]
    if shut:
        return Component("breakers", State.WARNING, "; ".join(shut), "See: tds breakers")
    return Component("breakers", State.OK, "all are closed")


def memory(share: float) -> Component:
    """Whether memory runs out where this is asked."""
    says = f"{share:.0%} used where this is asked"
    if share > MEMORY_SHARE:
        return Component("memory", State.WARNING, says, "Run fewer workers (TDS_WORKERS), or give the machine more.")
    return Component("memory", State.OK, says)


def disk(home: Path) -> Component:
    """Whether there is room for logs and, on one machine, for the database."""
    there = next(path for path in (home, *home.parents) if path.exists())
    total, _, free = shutil.disk_usage(there)
    says = f"{free / 1e9:,.1f} GB free at {there}"
    if free < (1 - DISK_SHARE) * total and free < 10e9:
        return Component("disk", State.WARNING, says, f"Make room: du -xh --max-depth=2 {there} | sort -h | tail")
    return Component("disk", State.OK, says)
