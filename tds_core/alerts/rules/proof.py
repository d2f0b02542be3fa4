"""Rules about proof: comparisons, the sealed history, validation, and findings that say that something is wrong."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.causes import PROCESS_CAUSES, SLOWING_CAUSES
from tds_core.alerts.rules.phrases import counted, named
from tds_core.alerts.text_formatting import span
from tds_core.audit_trail.rolling_verification import stored_progress
from tds_core.comparison import queries
from tds_core.comparison.reports import DIFFERS
from tds_core.quality.future_timestamps import CLOCK_SET_BACK
from tds_core.sources.missing_permissions import FINDING as PERMISSION_MISSING
from tds_core.subscriptions.endpoint_health import DISABLED
from tds_models.alerts import AlertSeverity
from tds_models.findings import Severity

#: Kinds of findings that have a rule of their own.
TOLD_ELSEWHERE = (DIFFERS, PERMISSION_MISSING, DISABLED, CLOCK_SET_BACK)
_OTHERS = f'kind!~"{"|".join(TOLD_ELSEWHERE)}"'
# A comparison that runs for longer proves nothing any more.
LONGEST_RUNNING_HOURS = 24


def differing_records(facts: AlertFacts) -> Iterator[RuleValue]:
    """By entity, how many records differed when they were last compared."""
    with facts.scope() as session:
        reports = queries.latest_reports(session)
    for entity, report in reports.items():
        count = report["difference_count"]
        if count:
            number = report["comparison_id"]
            says = f"{counted(count, 'record differs', 'records differ')} between Zoho and the mirror: {entity}."
            detail = {"comparison_id": number, "match_percent": float(report["match_percent"])}
            yield RuleValue(value=count, says=says, subject=entity, detail=detail)


_COMPARING = """
select (select bool_or(paused_at is null) from tds_scheduled_jobs where task = 'compare') as is_scheduled,
    coalesce((select array_agg(distinct p.entity)
        from tds_comparison_reports p join tds_comparisons c on c.id = p.comparison_id
        where c.state = 'running' and p.state = 'running'
          and c.requested_at > now() - make_interval(hours => :hours)), '{}') as comparing
"""


def unproven_hours(facts: AlertFacts) -> Iterator[RuleValue]:
    """Hours since the entity longest unproven was, of those that are compared by the timetable and not just now."""
    with facts.scope() as session:
        ages = queries.proof_ages(session)
    late = {entity: seconds for entity, seconds in ages.items() if seconds > 3600}
    if not late:
        return
    [row] = facts.rows(_COMPARING, {"hours": LONGEST_RUNNING_HOURS})
    unreadable = {*row["comparing"], *facts.unread_entities}
    late = {entity: seconds for entity, seconds in late.items() if entity not in unreadable}
    if late and row["is_scheduled"]:
        names = sorted(late, key=lambda entity: -late[entity])
        says = f"No comparison has proven {named(names)} for {span(late[names[0]])} or less."
        detail = {"hours": {entity: round(late[entity] / 3600, 1) for entity in names}}
        yield RuleValue(value=round(late[names[0]] / 3600, 1), says=says, detail=detail)


def broken_chain(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many violations of the sealed history were found when it was last verified."""
    with facts.scope() as session:
        found = stored_progress(session).worst
    if found.count:
        at = f", found at {found.at:%Y-%m-%d %H:%M} UTC" if found.at else ""
        says = f"The history was changed behind TDS's back in {counted(found.count, 'place')}{at}."
        yield RuleValue(value=found.count, says=says, detail={"kinds": found.kinds, "places": found.places})


# Of each subject its newest report of a week, if that was completed.
_REPORTS = """
select r.id, r.subject, r.ended_at, (r.report -> 'statistics' ->> 'invalid_records')::bigint as invalid_count
from (select max(id) as id from tds_validation_reports
      where ended_at > now() - interval '7 days' and report is not null group by subject) as newest
join tds_validation_reports r using (id) order by r.subject
"""


def invalid_records(facts: AlertFacts) -> Iterator[RuleValue]:
    """By subject of validation, how many records its last report found invalid."""
    for row in facts.rows(_REPORTS) if facts.signs["has_reports"] else ():
        count = row["invalid_count"]
        if count:
            made = f"{row['ended_at']:%Y-%m-%d %H:%M} UTC"
            says = f"{counted(count, 'record')} of {row['subject']} broke a rule when they were validated at {made}."
            yield RuleValue(value=count, says=says, subject=row["subject"], detail={"report_id": row["id"]})


def erroneous_findings(facts: AlertFacts) -> Iterator[RuleValue]:
    """By kind, how many findings are open that say that something is wrong and have no rule of their own."""
    found = [row for row in facts.open_findings if row["severity"] == Severity.ERROR]
    for kind in sorted({row["kind"] for row in found} - set(TOLD_ELSEWHERE)):
        rows = [row for row in found if row["kind"] == kind]
        count, entities = sum(row["finding_count"] for row in rows), [row["entity"] for row in rows]
        says = f"{counted(count, 'finding is', 'findings are')} open of kind {kind}: {named(entities)}."
        detail = {"entities": entities, "first_id": min(row["first_id"] for row in rows)}
        yield RuleValue(value=count, says=says, subject=kind, detail=detail)


RULES = (
    Rule(
        name="comparison_differs",
        title="The mirror differs from Zoho",
        severity=AlertSeverity.ERROR,
        measure=differing_records,
        threshold=0,
        unit="records",
        cause="A change was made here by hand, a webhook was lost, or a record was refused.",
        automatic="What polling or a webhook brings mends it; the next comparison looks again.",
        command="tds compare --repair",
        expression="max by (entity) (tds_comparison_differences) > {threshold}",
    ),
    Rule(
        name="comparison_unproven",
        title="The mirror is not proven",
        severity=AlertSeverity.WARNING,
        measure=unproven_hours,
        threshold=26,
        unit="hours",
        cause="The daily comparison failed, was cancelled, waits for quota, or could not decide some records.",
        automatic="The next night's comparison tries again.",
        command="tds compare",
        muted_by=(*PROCESS_CAUSES, *SLOWING_CAUSES, "beat_silent", "schedule_overdue"),
        expression="max by (entity) (tds_comparison_age_seconds) / 3600 > {threshold}",
    ),
    Rule(
        name="audit_chain_broken",
        title="The history was changed",
        severity=AlertSeverity.CRITICAL,
        measure=broken_chain,
        threshold=0,
        unit="places",
        cause="Somebody edited, deleted or inserted rows of the history in the database, or a backup was put back.",
        automatic="Nothing: what happened has to be found out by people.",
        command="tds audit verify",
    ),
    Rule(
        name="invalid_records",
        title="Many records are invalid",
        severity=AlertSeverity.WARNING,
        measure=invalid_records,
        threshold=100,
        unit="records",
        cause="Records were made in Zoho without what the rules ask for, or a rule does not fit the organisation.",
        automatic="They are mirrored as they are, except those that cannot be stored.",
        command="tds validate",
    ),
    Rule(
        name="error_findings",
        title="Findings say that something is wrong",
        severity=AlertSeverity.ERROR,
        measure=erroneous_findings,
        threshold=0,
        unit="findings",
        cause="Zoho's records or lists have changed their shape, or hold what cannot be read.",
        automatic="Findings are resolved by themselves where what they say is over.",
        command="tds findings",
        for_seconds=60,
        expression=f'max by (kind) (sum by (instance, kind) (tds_findings_open{{severity="error",{_OTHERS}}}))'
        " > {threshold}",
    ),
)
