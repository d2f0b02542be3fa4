"""Validation report: the checks of one subject carried out, and their violations with the share of valid records.

A subject is an entity, `integrity` or `orphans`. Each check is one statement; what it found is added to a tally, so
that a report can be made in one go or step by step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.invariants import history_checks
from tds_core.invariants.verify import BEGIN
from tds_core.validation.record_checks import intake_checks, integrity_checks
from tds_core.validation.reference_checks import orphan_checks, reference_checks
from tds_core.validation.rules import NEXT_STEPS, RANKS, Check, Rule, Severities
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.findings import Severity

#: So many violations of each kind are named; all are counted.
MOST_NAMED = 1000
#: Memory for sorting and hashing, for one transaction; a million records then need half the time.
MEMORY = text("select set_config('work_mem', '64MB', true)")
#: The subjects that are about all entities.
INTEGRITY, ORPHANS = "integrity", "orphans"
SUBJECTS = (*ENTITIES, INTEGRITY, ORPHANS)


@dataclass(frozen=True, slots=True)
class Issue:
    """One violation. `field` names its entity as well in a report about all of them."""

    severity: str
    entity_id: str
    field: str
    issue: str
    current_value: str | None
    recommendation: str


@dataclass(frozen=True, slots=True)
class IssueKind:
    """How often a rule is broken in one field, and what to do about the first of them."""

    rule: str
    severity: str
    field: str
    count: int
    recommendation: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many records there are and how many have no error; `validation_rate` is their share, from 0 to 100.

    A record that was refused, or that is missing here, counts as an invalid one.
    """

    total_records: int
    valid_records: int
    invalid_records: int
    validation_rate: float


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What validation found; the issues and kinds are in order, the worst first."""

    made_at: datetime
    entity_type: str
    statistics: Statistics
    issues: Sequence[Issue]
    kinds: Sequence[IssueKind]

    @property
    def has_errors(self) -> bool:
        """Whether any violation is an error."""
        return any(kind.severity == Severity.ERROR for kind in self.kinds)


@dataclass(slots=True)
class Tally:
    """What the checks found so far: violations as they were selected, and their numbers by check, rule and field."""

    found: list[dict[str, Any]] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)


def checks_of(subject: str, severities: Severities) -> list[Check]:
    """The checks of a subject."""
    return list(_checks(subject, severities))


def _checks(subject: str, severities: Severities) -> Iterator[Check]:
    for entity in ENTITIES.values() if subject in (INTEGRITY, ORPHANS) else [ENTITIES[subject]]:
        if subject == ORPHANS:
            yield from orphan_checks(entity)
            continue
        yield from integrity_checks(entity, severities)
        if subject == INTEGRITY:
            yield from _checksum_checks(entity)
        else:
            yield from reference_checks(entity)
            yield from intake_checks(entity)


def _checksum_checks(entity: Entity) -> Iterator[Check]:
    """The checks that rows and lines are what their history comes to."""
    for check in history_checks.checks_of(entity):
        yield Check(entity, check.says, f"""
            select source_id, '{Rule.CHECKSUM}' as rule, '{Severity.ERROR}' as severity, 'row' as field,
                null as value, found as says
            from ({check.broken}) h""")  # fmt: skip


def validate(
    session: Session, subject: str, severities: Severities, watch: Callable[[int, int, Check], None] | None = None
) -> ValidationReport:
    """Carry out all checks of a subject on one snapshot; `session` must not have been used yet.

    `watch` is called before each check, with how many are done, how many there are, and the check.
    """
    session.execute(BEGIN)
    session.execute(MEMORY)
    tally = Tally()
    checks = checks_of(subject, severities)
    for number, check in enumerate(checks):
        if watch:
            watch(number, len(checks), check)
        carry_out(session, checks, number, tally)
    return conclude(session, subject, checks, tally)


_RUN = """
select rule, severity, source_id, field, value, says, total from (
    select q.*, count(*) over (partition by rule, severity, field) as total,
        row_number() over (partition by rule, severity, field order by source_id) as place
    from ({query}) q
) numbered where place <= {most} order by rule, field, place"""


def carry_out(session: Session, checks: Sequence[Check], number: int, tally: Tally) -> None:
    """Carry out one of `checks` and add what it found to `tally`."""
    check = checks[number]
    kinds: dict[tuple[str, str, str], int] = {}
    for row in session.execute(text(_RUN.format(query=check.query, most=MOST_NAMED))).mappings():
        violation = {**row, "entity": check.entity.name}
        kinds[row["rule"], row["severity"], row["field"]] = violation.pop("total")
        tally.found.append(violation)
    for (rule, severity, name), count in kinds.items():
        tally.counts.append({
            "check": number, "entity": check.entity.name, "rule": rule, "severity": severity, "field": name,
            "count": count,
        })  # fmt: skip


def conclude(session: Session, subject: str, checks: Sequence[Check], tally: Tally) -> ValidationReport:
    """The report of what all checks found; counts the records."""
    total = invalid = 0
    for name in [subject] if subject in ENTITIES else ENTITIES:
        living, broken, absent = _record_counts(session, ENTITIES[name], checks, tally)
        total, invalid = total + living + absent, invalid + broken
    whole = subject not in ENTITIES
    issues = [_issue(violation, whole=whole) for violation in sorted(tally.found, key=_order)]
    valid = total - invalid
    rate = round(100.0 * valid / total, 2) if total else 100.0
    if invalid and rate == 100.0:  # rounding must not hide the last one
        rate = 99.99
    return ValidationReport(
        datetime.now(UTC), subject, Statistics(total, valid, invalid, rate), issues[:MOST_NAMED],
        _kinds(tally, whole=whole),
    )  # fmt: skip


def _record_counts(session: Session, entity: Entity, checks: Sequence[Check], tally: Tally) -> tuple[int, int, int]:
    """The living records of an entity, those with an error, and how many of these are not among the living."""
    living = session.execute(
        text(f"select count(*) from {entity.table.fullname} where deleted_at is null")
    ).scalar_one()
    errors = [each for each in tally.counts if each["entity"] == entity.name and each["severity"] == Severity.ERROR]
    if not errors:
        return living, 0, 0
    params: dict[str, Any] = {}
    if all(each["count"] <= MOST_NAMED for each in errors):
        named = "select unnest(cast(:ids as text[])) as source_id"
        params["ids"] = [
            each["source_id"] for each in tally.found
            if each["entity"] == entity.name and each["severity"] == Severity.ERROR
        ]  # fmt: skip
    else:
        numbers = sorted({each["check"] for each in errors})
        named = " union all ".join(
            f"select source_id from ({checks[number].query}) q{number} where severity = '{Severity.ERROR}'"
            for number in numbers
        )
    row = session.execute(
        text(f"""
        select count(*) as broken, count(*) filter (where t.source_id is null) as absent
        from (select distinct source_id from ({named}) named) e
        left join {entity.table.fullname} t
            on t.source = '{entity.stream.source}' and t.source_id = e.source_id and t.deleted_at is null"""),
        params,
    )
    broken, absent = row.one()
    return living, broken, absent


def _order(violation: Mapping[str, Any]) -> tuple[Any, ...]:
    return (violation["severity"] != Severity.ERROR, RANKS[violation["rule"]], violation["entity"],
            violation["field"], violation["source_id"])  # fmt: skip


def _issue(violation: Mapping[str, Any], *, whole: bool) -> Issue:
    entity, name = violation["entity"], violation["field"]
    return Issue(
        severity=violation["severity"],
        entity_id=violation["source_id"],
        field=f"{entity}.{name}" if whole else name,
        issue=violation["says"],
        current_value=None if violation["rule"] == Rule.DEAD_LETTER else violation["value"],
        recommendation=_next_step(violation),
    )


def _next_step(violation: Mapping[str, Any]) -> str:
    entity, name, value = violation["entity"], violation["field"], violation["value"]
    step = NEXT_STEPS[violation["rule"]]
    return step.format(entity=entity, id=violation["source_id"], value=value, target=_target(ENTITIES[entity], name))


def _target(entity: Entity, name: str) -> str:
    """The entity that a reference leads to; `name` is that of a field, or of a field of lines."""
    lines_name, _, field_name = name.rpartition(".")
    fields = next((lines.fields for lines in entity.lines if lines.name == lines_name), entity.fields)
    targets = (each.refers_to for each in fields if each.name == field_name and each.refers_to)
    return next(targets, next((fed for fed, lines in entity.fed_by.items() if lines is None), entity.name))


def _kinds(tally: Tally, *, whole: bool) -> list[IssueKind]:
    """The kinds of violation, the worst first, with the next step for the first of each."""
    firsts: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for violation in sorted(tally.found, key=_order):
        firsts.setdefault(_kind(violation), violation)
    counts: dict[tuple[Any, ...], int] = {}
    for each in tally.counts:
        counts[_kind(each)] = counts.get(_kind(each), 0) + each["count"]
    return [
        IssueKind(first["rule"], first["severity"], f"{first['entity']}.{first['field']}" if whole else first["field"],
                  counts[kind], _next_step(first))
        for kind, first in firsts.items()
    ]  # fmt: skip


def _kind(each: Mapping[str, Any]) -> tuple[Any, ...]:
    return each["entity"], each["rule"], each["severity"], each["field"]
