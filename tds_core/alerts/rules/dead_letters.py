"""Rules about dead letters: how many wait, for how long, and what was tried in vain to the last."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.phrases import MOST_NAMED, counted
from tds_core.alerts.text_formatting import span
from tds_models.alerts import AlertSeverity

_GROUPS = """
select fingerprint, entity, error_class, count(*) as letter_count from tds_dead_letter_queue
where resolved_at is null group by fingerprint, entity, error_class order by letter_count desc, fingerprint limit :most
"""
# One that is being retried, or is given to somebody, is decided; one that a person retried in vain is not, again.
_UNDECIDED = """
select count(*) as letter_count, extract(epoch from clock_timestamp() - min(since_at))::float8 as seconds from (
    select greatest(d.dead_at, (select max(ended_at) from tds_dead_letter_revivals r
        where r.letter_id = d.id and r.requested_by <> 'timetable')) as since_at
    from (select id, dead_at from tds_dead_letter_queue where resolved_at is null and assigned_to is null
          order by dead_at limit :most) as d
    where not exists (select from tds_dead_letter_revivals r where r.letter_id = d.id and r.ended_at is null)) as each
where since_at < clock_timestamp() - interval '1 hour'
"""
#: So many of the oldest are looked at.
MOST_LETTERS = 1000
_EXHAUSTED = """
select count(*) as letter_count, count(distinct entity) as entity_count, min(entity) as entity,
    max(attempts) as attempts
from tds_dead_letter_queue
where resolved_at is null and last_dead_at > now() - interval '1 hour' and attempts >= :most
"""


def open_dead_letters(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many dead letters are open; the three largest groups are named."""
    count = facts.health["dead_letter_count"]
    if not count:
        return
    groups = facts.rows(_GROUPS, {"most": MOST_NAMED})
    shown = [f"{row['entity']} {row['error_class']} ({row['letter_count']:,})" for row in groups]
    says = f"{counted(count, 'dead letter waits', 'dead letters wait')} for a decision; most of them:"
    detail = {
        "groups": [
            {"entity": row["entity"], "error_class": row["error_class"], "count": row["letter_count"],
             "fingerprint": row["fingerprint"]}
            for row in groups
        ],
        "command": f"tds dead-letter list --entity {groups[0]['entity']}" if groups else "tds dead-letter",
    }  # fmt: skip
    yield RuleValue(value=count, says=f"{says} {', '.join(shown)}. See: tds dead-letter", detail=detail)


def undecided_hours(facts: AlertFacts) -> Iterator[RuleValue]:
    """Hours for which the dead letter longest undecided has waited."""
    if not facts.health["dead_letter_count"]:
        return
    [row] = facts.rows(_UNDECIDED, {"most": MOST_LETTERS})
    if row["letter_count"]:
        many = counted(row["letter_count"], "dead letter is", "dead letters are")
        says = f"{many} decided by nobody, the first for {span(row['seconds'])}."
        yield RuleValue(value=round(row["seconds"] / 3600, 1), says=says, detail={"letter_count": row["letter_count"]})


def exhausted_records(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many records of an hour were given up after all attempts, and are not mended."""
    if not facts.health["dead_letter_count"]:
        return
    [row] = facts.rows(_EXHAUSTED, {"most": facts.settings.max_attempts})
    if row["letter_count"]:
        of = row["entity"] if row["entity_count"] == 1 else counted(row["entity_count"], "entity", "entities")
        many = counted(row["letter_count"], "record")
        says = f"{many} of {of} given up within an hour, after {counted(row['attempts'], 'attempt')}."
        yield RuleValue(value=row["letter_count"], says=says, detail={"entity_count": row["entity_count"]})


RULES = (
    Rule(
        name="dead_letters",
        title="Many dead letters",
        severity=AlertSeverity.ERROR,
        measure=open_dead_letters,
        threshold=100,
        unit="dead letters",
        cause="One change in Zoho or in a rule of TDS makes many records invalid, or Zoho refuses many calls.",
        automatic="A day after it died each is tried again by itself, three times at most.",
        command="tds dead-letter",
        expression="max(tds_dead_letters_open) > {threshold}",
    ),
    Rule(
        name="dead_letters_undecided",
        title="Dead letters are decided by nobody",
        severity=AlertSeverity.WARNING,
        measure=undecided_hours,
        threshold=24,
        unit="hours",
        cause="Nobody has looked at them, and trying again by itself did not help, or is not due yet.",
        automatic="A day after it died each is tried again by itself, three times at most.",
        command="tds dead-letter",
        for_seconds=1800,
        muted_by=("dead_letters",),
    ),
    Rule(
        name="attempts_exhausted",
        title="Records were given up after all attempts",
        severity=AlertSeverity.WARNING,
        measure=exhausted_records,
        threshold=0,
        unit="records",
        cause="Reading or writing these records failed again and again: a fault of Zoho, or a bug of TDS.",
        automatic="A day later each is tried again by itself, three times at most.",
        command="tds dead-letter",
        muted_by=("dead_letters", "failure_rate"),
    ),
)
