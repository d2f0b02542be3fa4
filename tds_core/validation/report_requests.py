"""Validation on demand: the report at once where that is quick; else a stored one, or the progress of a new one."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.validation import stored_reports
from tds_core.validation.report import INTEGRITY, SUBJECTS, ValidationReport, validate
from tds_core.validation.rules import Severities
from tds_core.validation.stored_reports import ReportProgress
from tds_models.entities import ENTITIES
from tds_models.entities.entity_aliases import entity_called

Scope = Callable[[], AbstractContextManager[Session]]

#: With more rows than these in all of its tables, a report is made in the background; a report on integrity, which
#: replays the history, sooner (docs/adr/0036).
MOST_AT_ONCE, MOST_REPLAYED = 50_000, 10_000
#: A stored report answers the same question again for so long: one who asks for a new one, and one who looks.
NEW_SECONDS, SHOWN_SECONDS = 600, 86_400


def subject_called(name: str) -> str:
    """The subject called `name`: integrity, orphans or an entity, also in the plural. Raises `NotFoundError`."""
    if name in SUBJECTS:
        return name
    entity = entity_called(name)
    if entity is None:
        raise NotFoundError(f"There is nothing called {name[:80]!r} to validate. There is: {', '.join(SUBJECTS)}.")
    return entity.name


def report_on_demand(
    scope: Scope, subject: str, severities: Severities, *, requested_by: str, at_most_seconds: int
) -> ValidationReport | ReportProgress:
    """The report of a subject, no older than `at_most_seconds`; where it has to be made in the background, its
    progress.
    """
    with scope() as session:
        if not _is_quick(session, subject):
            found = stored_reports.newest(session, subject, at_most_seconds=at_most_seconds)
            return found or stored_reports.request(session, subject, requested_by=requested_by)
    with scope() as session:
        return validate(session, subject, severities)


def _is_quick(session: Session, subject: str) -> bool:
    """Whether a subject's tables have few enough rows for one answer; counts no further than that."""
    tables = [
        table.fullname
        for entity in ([ENTITIES[subject]] if subject in ENTITIES else ENTITIES.values())
        for table in (entity.table, *entity.line_tables.values())
    ]
    tables += ["tds_audit_trail"] if subject == INTEGRITY else []
    most = MOST_REPLAYED if subject == INTEGRITY else MOST_AT_ONCE
    rows = " union all ".join(f"(select from {table} limit {most + 1})" for table in tables)
    statement = text(f"select count(*) from (select from ({rows}) r limit {most + 1}) counted")
    return bool(session.execute(statement).scalar_one() <= most)
