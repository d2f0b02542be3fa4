"""Gap filling: entities whose webhooks stay away are polled every quarter of an hour, not every hour."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync import runs
from tds_core.webhook_coverage.gap_findings import RULE_OFF
from tds_models.entities import ENTITIES
from tds_models.runs import Mode

#: How often an entity is polled while its webhooks stay away.
POLL_SECONDS = 900.0

_SILENT = text("""
select distinct f.entity from tds_findings f
where f.kind = :kind and f.resolved_at is null and not exists (
    select from tds_sync_runs r
    where r.source = f.source and r.entity = f.entity and r.mode in ('incremental', 'full')
      and r.requested_at > now() - make_interval(secs => :seconds))
order by f.entity
""")


def poll_silent_entities(session: Session) -> dict[str, int]:
    """Request an incremental run for each entity whose rule seems switched off, unless one was requested lately.

    Returns the runs by entity.
    """
    names = session.execute(_SILENT, {"kind": RULE_OFF, "seconds": POLL_SECONDS}).scalars().all()
    return {
        name: runs.request_run(session, entity=name, mode=Mode.INCREMENTAL, requested_by="webhook coverage")
        for name in names
        if name in ENTITIES
    }
