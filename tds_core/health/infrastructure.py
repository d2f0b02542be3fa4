"""Infrastructure health: the database schema, Redis, circuit breakers, memory and disk."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers, BreakersAwayError
from tds_core.config.settings import Settings
from tds_core.configuration.disabled_protections import switched_off
from tds_core.health.dead_man_switch import HeartbeatFacts, heartbeat_facts, heartbeat_health
from tds_core.health.health import ComponentStatus, HealthFacts, HealthState, components, health_facts
from tds_core.health.read_replica import WrittenPosition, replica_engine, replica_status, written_position
from tds_core.observability.memory_usage import used_share
from tds_core.redis_client import REDIS_UNAVAILABLE, redis_client
from tds_core.schema.migrations import scripts_directory

MEMORY_SHARE, DISK_SHARE = 0.80, 0.90

_REVISION = text("select version_num from alembic_version")


class InstallationFacts(HealthFacts):
    """The facts of the components, the schema revision, the last call of the dead man's switch, the log position."""

    revision: str
    heartbeat: HeartbeatFacts | None
    written: WrittenPosition | None


@cache
def known_revisions() -> list[str]:
    """The schema revisions this version knows, the newest first."""
    return [script.revision for script in ScriptDirectory(str(scripts_directory())).walk_revisions()]


def revision(session: Session) -> str:
    """The revision of the database. Raises SQLAlchemyError, also when it was never migrated."""
    return str(session.execute(_REVISION).scalar_one())


def is_migrated(revision: str) -> bool:
    """Whether this version can work with tables of `revision`; an unknown one is newer and compatible."""
    known = known_revisions()
    return revision not in known or revision == known[0]


def redis_answers(url: str) -> bool:
    """Whether Redis answers within half a second."""
    try:
        with redis_client(url, timeout_seconds=0.5) as client:
            return bool(client.ping())
    except (*REDIS_UNAVAILABLE, ValueError):
        return False


def infrastructure_health(session: Session, settings: Settings) -> InstallationFacts:
    """What `components` and `evaluate` need from the database: its facts and `revision`. Raises SQLAlchemyError."""
    facts = health_facts(session, depth_warning=settings.depth_warning, depth_critical=settings.depth_critical)
    heartbeat = heartbeat_facts(session) if settings.heartbeat_url else None
    written = written_position(session) if settings.replica_url else None
    return {**facts, "revision": revision(session), "heartbeat": heartbeat, "written": written}


def evaluate(facts: InstallationFacts, settings: Settings, breakers: Breakers) -> list[ComponentStatus]:
    """Every component, the infrastructure first. `facts`: from `infrastructure_health`.

    Calls Redis, so no transaction should be open.
    """
    return [*_infrastructure(facts, settings, breakers), *components(facts)]


def _infrastructure(facts: InstallationFacts, settings: Settings, breakers: Breakers) -> Iterator[ComponentStatus]:
    yield schema_health(facts["revision"])
    if settings.replica_url:
        yield replica_health(settings, facts["written"])
    yield redis_health(settings)
    yield breaker_health(breakers)
    yield protection_health(settings)
    yield memory(used_share())
    yield disk(settings.home)
    if settings.heartbeat_url:
        yield heartbeat_health(facts["heartbeat"])


def schema_health(revision: str) -> ComponentStatus:
    """Whether the database has the tables of this version."""
    if is_migrated(revision):
        return ComponentStatus("database", HealthState.OK, f"answers, revision {revision}")
    return ComponentStatus(
        "database", HealthState.CRITICAL, f"is at revision {revision}, this version needs more", "Run: tds migrate"
    )


@cache
def _replica(settings: Settings) -> Engine | None:
    return replica_engine(settings, pool_size=1)


def replica_health(settings: Settings, written: WrittenPosition | None) -> ComponentStatus:
    """A warning while the replica is not read from; then the primary serves what it would."""
    replica = _replica(settings)
    if replica is None or written is None:
        return ComponentStatus("replica", HealthState.OK, "is not configured")
    status = replica_status(written, replica, most_lag_seconds=settings.replica_lag_seconds)
    if status.is_used:
        return ComponentStatus("replica", HealthState.OK, f"{status.lag_seconds or 0.0:.1f} s behind")
    mend = "Look at pg_stat_replication of the primary and at the replica's log, or correct TDS_REPLICA_URL."
    return ComponentStatus("replica", HealthState.WARNING, f"{status.why}; the primary is read instead", mend)


def redis_health(settings: Settings) -> ComponentStatus:
    """A warning only: without Redis work is slower, and none is lost."""
    if not settings.redis_url:
        return ComponentStatus(
            "redis", HealthState.WARNING, "is not configured here", "Set TDS_REDIS_URL, or run: tds up"
        )
    if redis_answers(settings.redis_url):
        return ComponentStatus("redis", HealthState.OK, "answers")
    return ComponentStatus(
        "redis", HealthState.WARNING, "does not answer; nothing is lost, but syncs wait", "See: tds doctor"
    )


def breaker_health(breakers: Breakers) -> ComponentStatus:
    """The open breakers; without Redis each process knows only its own."""
    try:
        states = breakers.states(of_all=True)
    except BreakersAwayError:
        return ComponentStatus("breakers", HealthState.OK, "are kept by each process alone")
    opened = [f"{state.name} {state.state}: {state.last_error}" for state in states if state.next_probe_at]
    if opened:
        return ComponentStatus("breakers", HealthState.WARNING, "; ".join(opened), "See: tds breakers")
    return ComponentStatus("breakers", HealthState.OK, "all are closed")


def protection_health(settings: Settings) -> ComponentStatus:
    """A warning while auto-healing or circuit breakers are switched off, which names since when and by whom."""
    found = switched_off(settings)
    if not found:
        return ComponentStatus("protections", HealthState.OK, "auto-healing and circuit breakers are on")
    mend = "Switch them on: " + "; ".join(f"tds config set {each.key} yes" for each in found)
    return ComponentStatus("protections", HealthState.WARNING, "; ".join(each.says for each in found), mend)


def memory(share: float) -> ComponentStatus:
    """A warning when more than MEMORY_SHARE of the memory of this machine or container is used."""
    says = f"{share:.0%} used where this is asked"
    if share > MEMORY_SHARE:
        return ComponentStatus(
            "memory", HealthState.WARNING, says, "Run fewer workers (TDS_WORKERS), or give the machine more."
        )
    return ComponentStatus("memory", HealthState.OK, says)


def disk(home: Path) -> ComponentStatus:
    """A warning when the disk of `home` (logs, embedded database) is nearly full."""
    existing = next(path for path in (home, *home.parents) if path.exists())
    total, _, free = shutil.disk_usage(existing)
    says = f"{free / 1e9:,.1f} GB free at {existing}"
    if free < (1 - DISK_SHARE) * total and free < 10e9:
        return ComponentStatus(
            "disk", HealthState.WARNING, says, f"Make room: du -xh --max-depth=2 {existing} | sort -h | tail"
        )
    return ComponentStatus("disk", HealthState.OK, says)
