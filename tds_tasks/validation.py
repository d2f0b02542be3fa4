"""The task `tds.validation.advance`: carries out the checks of stored reports, one transaction each."""

import time
from contextlib import suppress

import structlog
from sqlalchemy.exc import DBAPIError

from tds_core.database_errors import is_away
from tds_core.validation import stored_reports
from tds_core.validation.rules import severities
from tds_models.db import set_statement_timeout
from tds_tasks import worker_nudges
from tds_tasks.app import app
from tds_tasks.context import scope, settings, while_reachable

log = structlog.get_logger(__name__)

# A task yields after this time, so that runs have their turn; a single check may take longer.
SLICE_SECONDS = 10.0
#: The longest that one check may take, and its task.
CHECK_SECONDS, TASK_SECONDS = 1800, 2000


@app.task(name="tds.validation.advance", soft_time_limit=TASK_SECONDS, time_limit=TASK_SECONDS + 60)
def advance() -> str:
    """Take the stored reports further."""
    goes_on = False
    with while_reachable():
        goes_on = advance_reports(slice_seconds=SLICE_SECONDS)
        if goes_on:
            with suppress(*worker_nudges.FAILURES):  # the dispatcher looks too
                worker_nudges.nudge_validation()
    return "validation reports: more is to be checked" if goes_on else "validation reports: nothing is left to check"


def advance_reports(*, slice_seconds: float) -> bool:
    """Carry out checks until every report has ended or the time is up. Returns whether there is more to do."""
    until = time.monotonic() + slice_seconds
    with scope() as session:
        waiting = stored_reports.due_reports(session)
    for report_id in waiting:
        while _advance(report_id):
            if time.monotonic() > until:
                return True
    return False


def _advance(report_id: int) -> bool:
    """Carry out one check; a report that cannot be made ends with its reason."""
    try:
        with scope() as session:
            set_statement_timeout(session, CHECK_SECONDS)
            return stored_reports.advance(session, report_id, severities(settings()))
    except Exception as error:
        if isinstance(error, DBAPIError) and is_away(error):
            raise
        log.exception("validation_report_failed", report_id=report_id)
        with scope() as session:
            stored_reports.fail(session, report_id, f"{type(error).__name__}: {error}")
        return False
