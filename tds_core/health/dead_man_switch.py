"""Health of the dead man's switch: whether the address outside was called lately, and took it."""

from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.health.health import ComponentStatus, HealthState

#: The name of its heartbeat.
PULSE = "dead_man"
#: It is called once a minute.
SILENT_SECONDS = 300.0


class HeartbeatFacts(TypedDict):
    """The last call. `error`: "" if it was taken. `reason`: why TDS makes no progress; "" if it does."""

    ago_seconds: float
    error: str
    reason: str


_LAST = text("""
select extract(epoch from clock_timestamp() - beat_at)::float8 as ago_seconds, detail ->> 'error' as error,
    detail ->> 'reason' as reason
from tds_pulses where name = :name
""")


def heartbeat_facts(session: Session) -> HeartbeatFacts | None:
    """The last call of the address outside; None if there was none yet."""
    row = session.execute(_LAST, {"name": PULSE}).mappings().one_or_none()
    return None if row is None else cast("HeartbeatFacts", dict(row))


def heartbeat_health(facts: HeartbeatFacts | None) -> ComponentStatus:
    """A warning while who watches outside is not told of progress."""
    mend = "Look at the log of the dispatcher; the address is TDS_HEARTBEAT_URL"
    if facts is None:
        return ComponentStatus("heartbeat", HealthState.WARNING, "the address outside was never called", mend)
    ago = f"{max(0.0, facts['ago_seconds']):.0f} s ago"
    if facts["error"]:
        says = f"the address outside did not take the last call, {ago}: {facts['error']}"
        return ComponentStatus("heartbeat", HealthState.WARNING, says, mend)
    if facts["reason"]:
        return ComponentStatus("heartbeat", HealthState.WARNING, f"it was told {ago}: {facts['reason']}", "")
    if facts["ago_seconds"] > SILENT_SECONDS:
        return ComponentStatus("heartbeat", HealthState.WARNING, f"the address outside was last called {ago}", mend)
    return ComponentStatus("heartbeat", HealthState.OK, f"the address outside was called {ago}")
