"""Rules about backups: that they are taken, and that one was restored and found right."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.causes import PROCESS_CAUSES
from tds_core.alerts.text_formatting import span
from tds_models.alerts import AlertSeverity

_NEWEST = """
select extract(epoch from clock_timestamp() - max(ended_at) filter (where error is null)) as age_seconds,
    (select error from tds_backups order by id desc limit 1) as last_error
from tds_backups
"""


def late_backup_hours(facts: AlertFacts) -> Iterator[RuleValue]:
    """By how many hours the newest backup is older than TDS_BACKUP_HOURS; without any, how long this process waits."""
    if not (facts.settings.backup_directory or facts.signs["has_backups"]):
        return
    [row] = facts.rows(_NEWEST)
    failed = " The last attempt failed." if row["last_error"] else ""
    if row["age_seconds"] is None:
        age = facts.process_age_seconds
        yield RuleValue(value=round(age / 3600, 1), says=f"No backup was taken in {span(age)}.{failed}")
        return
    age = float(row["age_seconds"])
    late_hours = age / 3600 - facts.settings.backup_hours
    if late_hours > 0:
        says = (
            f"The newest backup is {span(age)} old, and one is due every {facts.settings.backup_hours} hours.{failed}"
        )
        yield RuleValue(value=round(late_hours, 1), says=says)


_DRILLED = """
select extract(epoch from clock_timestamp() - coalesce(
        max(ended_at) filter (where kind = 'drill' and error is null),
        (select min(ended_at) from tds_backups where error is null))) as age_seconds,
    bool_or(kind = 'drill' and error is null) as has_passed,
    (select error from tds_restores where kind = 'drill' order by id desc limit 1) as last_error
from tds_restores
"""


def undrilled_days(facts: AlertFacts) -> Iterator[RuleValue]:
    """Days since a backup was last restored and found right; since the first backup where none ever was."""
    if not facts.signs["has_backups"]:
        return
    [row] = facts.rows(_DRILLED)
    if row["age_seconds"] is None:
        return
    age = float(row["age_seconds"])
    failed = " The last drill failed." if row["last_error"] else ""
    says = f"No backup has been restored and found right for {span(age)}.{failed}"
    if not row["has_passed"]:
        says = f"No backup was ever restored and found right; the first is {span(age)} old.{failed}"
    yield RuleValue(value=round(age / 86_400, 2), says=says)


RULES = (
    Rule(
        name="backup_late",
        title="No backup was taken",
        severity=AlertSeverity.ERROR,
        measure=late_backup_hours,
        threshold=2,
        unit="hours",
        cause="The disk of the backups is full or away, the role may not copy the server, or nothing takes them.",
        automatic="Where `tds up` or `tds backup run` takes them, it tries again every ten minutes.",
        command="tds backup",
        muted_by=PROCESS_CAUSES,
    ),
    Rule(
        name="restore_undrilled",
        title="No backup was tried lately",
        severity=AlertSeverity.WARNING,
        measure=undrilled_days,
        threshold=7,
        unit="days",
        cause="Nobody ran a drill this week, or the last one failed.",
        automatic="Nothing: a drill needs room and time, so a person or a timer starts it.",
        command="tds restore --drill",
    ),
)
