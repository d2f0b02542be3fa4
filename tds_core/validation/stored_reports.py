"""Stored reports: validation of many records in the background, check by check, with its progress and its result."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, cast

import msgspec
import structlog
from sqlalchemy import RowMapping, case, select, text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.pagination import Page, Row, read_page
from tds_core.validation.report import MEMORY, Tally, ValidationReport, carry_out, checks_of, conclude
from tds_core.validation.rules import Severities
from tds_models.validation import StoredReport

log = structlog.get_logger(__name__)

_TABLE = StoredReport.__table__
STATES = ("waiting", "running", "completed", "failed")
_STATE = case(
    (_TABLE.c.error.is_not(None), "failed"), (_TABLE.c.ended_at.is_not(None), "completed"),
    (_TABLE.c.started_at.is_not(None), "running"), else_="waiting",
).label("state")  # fmt: skip
_SHOWN = [column for column in _TABLE.columns if column.key not in ("tally", "report")]


class ReportProgress(TypedDict):
    """How far a stored report is: `checked_count` of `check_count` checks are done, `current_check` is the next one."""

    id: int
    subject: str
    state: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    check_count: int
    checked_count: int
    current_check: str | None
    error: str | None
    report: ValidationReport | None


_REQUEST = text("""
insert into tds_validation_reports as r (subject, requested_by, check_count) values (:subject, :by, :count)
on conflict (subject) where ended_at is null do update set subject = excluded.subject
returning id
""")


def request(session: Session, subject: str, *, requested_by: str) -> ReportProgress:
    """Request a report; one that is under way is not begun twice."""
    params = {"subject": subject, "by": requested_by, "count": len(checks_of(subject, Severities()))}
    return progress(session, session.execute(_REQUEST, params).scalar_one())


def progress(session: Session, report_id: int) -> ReportProgress:
    """A stored report, with what it found once it is completed. Raises `NotFoundError`."""
    statement = select(*_SHOWN, _STATE, _TABLE.c.report).where(_TABLE.c.id == min(report_id, 2**63 - 1))
    row = session.execute(statement).mappings().first()
    if row is None:
        raise NotFoundError(f"There is no validation report {report_id}.")
    return _progress(row)


def newest(session: Session, subject: str, *, at_most_seconds: int) -> ValidationReport | None:
    """The newest completed report of a subject that ended no longer ago than `at_most_seconds`."""
    statement = text("""
        select report from tds_validation_reports
        where subject = :subject and report is not null and ended_at > now() - :seconds * interval '1 second'
        order by id desc limit 1""")
    row = session.execute(statement, {"subject": subject, "seconds": at_most_seconds}).mappings().first()
    return None if row is None else msgspec.convert(row["report"], ValidationReport)


def reports(session: Session, *, cursor: str | None = None, limit: int = 50, subject: str | None = None) -> Page[Row]:
    """Stored reports without what they found, the newest first. Raises `InvalidCursorError`."""
    statement = select(*_SHOWN, _STATE)
    if subject is not None:
        statement = statement.where(_TABLE.c.subject == subject)
    return read_page(session, statement, keys=[_TABLE.c.id], cursor=cursor, limit=limit)


def _progress(row: RowMapping) -> ReportProgress:
    found = None if row["report"] is None else msgspec.convert(row["report"], ValidationReport)
    return cast("ReportProgress", {**row, "report": found})


_DUE = text("select id from tds_validation_reports where ended_at is null order by id")


def due_reports(session: Session) -> list[int]:
    """The reports that have not ended, the oldest first."""
    return list(session.execute(_DUE).scalars())


_CLAIM = text("""
select id, subject, checked_count, check_count, tally, started_at from tds_validation_reports
where id = :id and ended_at is null for update skip locked
""")
_ADVANCE = text("""
update tds_validation_reports set started_at = coalesce(started_at, now()), checked_count = :checked,
    check_count = :count, current_check = :current_check, tally = cast(:tally as jsonb) where id = :id
""")
_END = text("""
update tds_validation_reports set ended_at = clock_timestamp(), current_check = null, tally = null,
    report = cast(:report as jsonb) where id = :id
""")
_FAIL = text("""
update tds_validation_reports set ended_at = clock_timestamp(), tally = null, error = left(:error, 500)
where id = :id and ended_at is null
""")


def advance(session: Session, report_id: int, severities: Severities) -> bool:
    """Carry out the next check of a report, or conclude it. Returns whether there is more to do here.

    The row is locked until the transaction ends, so a report is in one process's hands, and a killed one leaves it to
    the next, which repeats its check.
    """
    row = session.execute(_CLAIM, {"id": report_id}).mappings().first()
    if row is None:
        return False
    session.execute(MEMORY)
    checks = checks_of(row["subject"], severities)
    is_other_version = row["check_count"] != len(checks)
    tally = Tally() if is_other_version or row["tally"] is None else msgspec.convert(row["tally"], Tally)
    number = 0 if is_other_version else row["checked_count"]
    if number == len(checks):
        _conclude(session, row, conclude(session, row["subject"], checks, tally))
        return False
    if row["started_at"] is not None or is_other_version:
        carry_out(session, checks, number, tally)
        number += 1
    current_check = f"{checks[number].entity.name}: {checks[number].says}" if number < len(checks) else "counts"
    params = {"id": report_id, "checked": number, "count": len(checks), "current_check": current_check}
    session.execute(_ADVANCE, {**params, "tally": msgspec.json.encode(tally).decode()})
    return True


def _conclude(session: Session, row: RowMapping, report: ValidationReport) -> None:
    session.execute(_END, {"id": row["id"], "report": msgspec.json.encode(report).decode()})
    log.info("validation_report_completed", subject=row["subject"], **msgspec.to_builtins(report.statistics))


def fail(session: Session, report_id: int, error: str) -> None:
    """End a report that cannot be made."""
    session.execute(_FAIL, {"id": report_id, "error": error.partition("\n")[0]})


def is_open(shown: Mapping[str, Any]) -> bool:
    """Whether a stored report has not ended."""
    return shown["ended_at"] is None
