"""Heartbeats of processes: when each last made progress, and the figures it measured then."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

BEAT = text("""
insert into tds_pulses as p (name, detail) values (:name, cast(:detail as jsonb))
on conflict (name) do update set beat_at = clock_timestamp(), detail = excluded.detail
""")


def beat(session: Session, name: str, **detail: object) -> None:
    """Store a heartbeat of `name`, with `detail` as JSON."""
    session.execute(BEAT, {"name": name, "detail": msgspec.json.encode(detail).decode()})


SILENT = text("""
select name, extract(epoch from clock_timestamp() - beat_at)::float8 as seconds from tds_pulses
where name = any(:names)
""")


def silent_seconds(session: Session, names: Sequence[str] = ("dispatcher", "beat")) -> dict[str, float]:
    """Seconds since the last heartbeats of these names; one that never came is left out."""
    rows = session.execute(SILENT, {"names": list(names)})
    return {row.name: max(0.0, row.seconds) for row in rows}


SUMMARY = text("select name, value from tds_get_health_summary()")


def measure(session: Session) -> dict[str, float]:
    """Read the figures of `tds_get_health_summary()` and store them as the heartbeat `queue`."""
    figures = {row.name: row.value for row in session.execute(SUMMARY)}
    beat(session, "queue", **figures)
    return figures
