"""The health of what TDS stands on: the schema, Redis, what breakers leave alone, memory and disk.

Whether this process can do its work: the database answers and has the tables this version was written for.
"""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

import migrations
from tds_core.breakers.registry import Breakers, BreakersAwayError
from tds_core.config.settings import Settings
from tds_core.health.health import ComponentStatus, Facts, State, components, facts
from tds_core.observability.process import used_share
from tds_core.redis_client import REDIS_UNAVAILABLE, redis_client

_REVISION = text("select version_num from alembic_version")


@cache
def known_revisions() -> list[str]:
    """The schema revisions this version knows, the newest first."""
    return [script.revision for script in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()]


def revision(session: Session) -> str:
    """The revision the database is at. Raises what the database raises, also when it was never migrated."""
    return str(session.execute(_REVISION).scalar_one())


def is_migrated(found: str) -> bool:
    """Whether tables of revision `found` serve this version. A revision unknown here is newer, which does."""
    known = known_revisions()
    return found not in known or found == known[0]


def redis_answers(url: str) -> bool:
    """Whether Redis answers within half a second."""
    try:
        with redis_client(url, timeout_seconds=0.5) as client:
            return bool(client.ping())
    except (*REDIS_UNAVAILABLE, ValueError):
        return False


MEMORY_SHARE, DISK_SHARE = 0.80, 0.90


def infrastructure_health(session: Session, settings: Settings) -> Facts:
    """What the database says of itself and of all that reports to it."""
    found = facts(session, depth_warning=settings.depth_warning, depth_critical=settings.depth_critical)
    return {**found, "revision": revision(session)}


def judged(found: Facts, settings: Settings, breakers: Breakers) -> list[ComponentStatus]:
    """Every component of this installation, what it stands on first. Asks Redis: let no transaction be open meanwhile.

    `found` is from `look`.
    """
    return [*_below(found, settings, breakers), *components(found)]


def _below(found: Facts, settings: Settings, breakers: Breakers) -> Iterator[ComponentStatus]:
    yield schema_health(found["revision"])
    yield redis_health(settings)
    yield quiet(breakers)
    yield memory(used_share())
    yield disk(settings.home)


def schema_health(found: str) -> ComponentStatus:
    """Whether the database has the tables of this version."""
    if is_migrated(found):
        return ComponentStatus("database", State.OK, f"answers, revision {found}")
    return ComponentStatus(
        "database", State.CRITICAL, f"is at revision {found}, this version needs more", "Run: tds migrate"
    )


def redis_health(settings: Settings) -> ComponentStatus:
    """Away it costs speed, not work: the database holds what is owed."""
    if not settings.redis_url:
        return ComponentStatus("redis", State.WARNING, "is not configured here", "Set TDS_REDIS_URL, or run: tds up")
    if redis_answers(settings.redis_url):
        return ComponentStatus("redis", State.OK, "answers")
    return ComponentStatus(
        "redis", State.WARNING, "does not answer; nothing is lost, but syncs wait", "See: tds doctor"
    )


def quiet(breakers: Breakers) -> ComponentStatus:
    """What is left alone because it fails; without Redis each process knows only its own."""
    try:
        found = breakers.states(of_all=True)
    except BreakersAwayError:
        return ComponentStatus("breakers", State.OK, "are kept by each process alone")
    shut = [f"{each.name} {each.state}: {each.last_error}" for each in found if each.next_probe_at]
    if shut:
        return ComponentStatus("breakers", State.WARNING, "; ".join(shut), "See: tds breakers")
    return ComponentStatus("breakers", State.OK, "all are closed")


def memory(share: float) -> ComponentStatus:
    """Whether memory runs out where this is asked."""
    says = f"{share:.0%} used where this is asked"
    if share > MEMORY_SHARE:
        return ComponentStatus(
            "memory", State.WARNING, says, "Run fewer workers (TDS_WORKERS), or give the machine more."
        )
    return ComponentStatus("memory", State.OK, says)


def disk(home: Path) -> ComponentStatus:
    """Whether there is room for logs and, on one machine, for the database."""
    there = next(path for path in (home, *home.parents) if path.exists())
    total, _, free = shutil.disk_usage(there)
    says = f"{free / 1e9:,.1f} GB free at {there}"
    if free < (1 - DISK_SHARE) * total and free < 10e9:
        return ComponentStatus("disk", State.WARNING, says, f"Make room: du -xh --max-depth=2 {there} | sort -h | tail")
    return ComponentStatus("disk", State.OK, says)
