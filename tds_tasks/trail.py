"""The trail's turns in the timetable: sealing what is new, retiring what is too old."""

import time

from tds_core.trail import retiring, sealing
from tds_core.trail.setup import seal_key
from tds_core.trail.trails import TRAILS
from tds_tasks.context import scope, settings, unhurried

# Less than a task may take: what is left has its turn a minute later.
SECONDS = 40.0


def seal() -> str:
    """Seal what can be sealed, round after round. Returns what came of it, in words."""
    until, row_count, sealed = time.monotonic() + SECONDS, 0, None
    while sealed is None or (sealed.more and time.monotonic() < until):
        with scope() as session:
            sealed = sealing.seal(session, seal_key(session, settings()))
        sealing.tell(sealed)
        row_count += sealed.row_count
    return f"{row_count} rows sealed" + (", waits for writers" if sealed.waits else "")


def retire() -> dict[str, int]:
    """Remove history older than TDS_AUDIT_DAYS, if that is set. Returns the rows that went, by table."""
    gone: dict[str, int] = {}
    for trail in [each for each in TRAILS.values() if each.retires and settings().audit_days]:
        until, more = time.monotonic() + SECONDS, True
        while more and time.monotonic() < until:
            with unhurried() as session:
                seal = retiring.retire(
                    session, seal_key(session, settings()), trail, days=settings().audit_days
                )  # fmt: skip
            more = seal is not None
            gone[trail.name] = gone.get(trail.name, 0) + (seal.row_count if seal else 0)
    return gone
