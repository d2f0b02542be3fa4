"""Terms of rules: those in force, their history, and changes by operators."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, cast

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.alerts.rule import Rule, RuleTerms
from tds_core.errors import TdsError
from tds_models.alerts import AlertSeverity

#: Who makes the versions that are declared in `tds_core.alerts.rules`.
DECLARED_BY = "tds"
LONGEST_SECONDS = 7 * 86_400


class InvalidTermsError(TdsError):
    """A rule cannot have these terms."""

    code = "invalid_alert_rule"


class StaleTermsError(TdsError):
    """Another operator changed the rule meanwhile."""

    code = "stale_alert_rule"


class TermsVersion(TypedDict):
    """One version of a rule's terms."""

    name: str
    version: int
    is_enabled: bool
    severity: str
    threshold: float
    for_seconds: int
    keep_seconds: int
    changed_by: str
    changed_at: datetime
    reason: str | None


_TERMS = ("is_enabled", "severity", "threshold", "for_seconds", "keep_seconds")
_NEWEST = text("""
select distinct on (name) name, version, is_enabled, severity, threshold, for_seconds, keep_seconds, changed_by,
       changed_at, reason
from tds_alert_rules order by name, version desc
""")
_VERSIONS = text("select * from tds_alert_rules where name = :name order by version desc")
# Of two versions with one number, one is refused: whoever was later has not seen the other.
_INSERT = text("""
insert into tds_alert_rules (name, version, is_enabled, severity, threshold, for_seconds, keep_seconds, changed_by,
                             reason)
select name, version, is_enabled, severity, threshold, for_seconds, keep_seconds, changed_by, reason
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    name text, version int, is_enabled boolean, severity text, threshold float8, for_seconds int, keep_seconds int,
    changed_by text, reason text)
on conflict do nothing returning name
""")


def declared_terms(rule: Rule) -> RuleTerms:
    """The terms a rule is declared with."""
    return RuleTerms(
        name=rule.name, version=0, is_enabled=True, severity=rule.severity, threshold=rule.threshold,
        for_seconds=rule.for_seconds, keep_seconds=rule.keep_seconds,
    )  # fmt: skip


def newest_versions(session: Session) -> dict[str, TermsVersion]:
    """By rule, the newest version of its terms."""
    return {row["name"]: cast("TermsVersion", dict(row)) for row in session.execute(_NEWEST).mappings()}


def terms_in_force(session: Session, rules: Iterable[Rule]) -> dict[str, RuleTerms]:
    """By rule, its terms in force. Declared terms that are new or changed become versions, unless an operator's
    version is in force.
    """
    newest, result, new = newest_versions(session), {}, []
    for rule in rules:
        row, declared = newest.get(rule.name), declared_terms(rule)
        terms = _terms(row) if row else replace(declared, version=0)
        if row is None or (row["changed_by"] == DECLARED_BY and replace(declared, version=terms.version) != terms):
            terms = replace(declared, version=terms.version + 1)
            new.append(_row(terms, DECLARED_BY, None))
        result[rule.name] = terms
    if new:
        session.execute(_INSERT, {"rows": msgspec.json.encode(new).decode()})
    return result


def _terms(row: Mapping[str, Any]) -> RuleTerms:
    values = {name: row[name] for name in _TERMS}
    return RuleTerms(name=row["name"], version=row["version"], **{**values, "severity": AlertSeverity(row["severity"])})


def _row(terms: RuleTerms, by: str, reason: str | None) -> dict[str, Any]:
    values = {name: getattr(terms, name) for name in ("name", "version", *_TERMS)}
    return {**values, "changed_by": by, "reason": reason}


def versions(session: Session, name: str) -> list[TermsVersion]:
    """Every version of a rule's terms, the newest first."""
    return [cast("TermsVersion", dict(row)) for row in session.execute(_VERSIONS, {"name": name}).mappings()]


def changed_terms(terms: RuleTerms, changes: Mapping[str, Any]) -> RuleTerms:
    """The terms with `changes` of is_enabled, severity, threshold, for_seconds, keep_seconds; None of them: as
    it is. Raises `InvalidTermsError`.
    """
    values = {name: value for name, value in changes.items() if value is not None}
    if "severity" in values:
        if values["severity"] not in set(AlertSeverity):
            raise InvalidTermsError(f"A severity is one of: {', '.join(AlertSeverity)}.")
        values["severity"] = AlertSeverity(values["severity"])
    for name in ("for_seconds", "keep_seconds"):
        if name in values and not 0 <= values[name] <= LONGEST_SECONDS:
            raise InvalidTermsError(f"{name} is from 0 to {LONGEST_SECONDS} (seven days).")
    if "threshold" in values and not abs(values["threshold"]) < 1e15:  # also not a number, which compares with nothing
        raise InvalidTermsError("threshold is a number.")
    return replace(terms, **values)


def change(
    session: Session,
    rule: Rule,
    changes: Mapping[str, Any],
    *,
    by: str,
    reason: str | None = None,
    seen_version: int | None = None,
) -> TermsVersion:
    """Put new terms in force, as the next version. Returns it, or the present one where nothing changes.

    `seen_version`: the version the operator looked at. Raises `InvalidTermsError`, and `StaleTermsError` when another
    version came meanwhile.
    """
    terms = terms_in_force(session, [rule])[rule.name]
    if seen_version is not None and seen_version != terms.version:
        raise StaleTermsError(
            f"{rule.name} is at version {terms.version} by now, not {seen_version}: look again, tds alerts rules show"
            f" {rule.name}"
        )
    changed = changed_terms(terms, changes)
    if changed == terms:
        return versions(session, rule.name)[0]
    return _put(session, replace(changed, version=terms.version + 1), by, reason)


def reset(session: Session, rule: Rule, *, by: str) -> TermsVersion:
    """Put the declared terms in force again, also those of later versions of TDS. Returns the new version."""
    version = terms_in_force(session, [rule])[rule.name].version + 1
    return _put(session, replace(declared_terms(rule), version=version), DECLARED_BY, f"reset by {by}")


def _put(session: Session, terms: RuleTerms, by: str, reason: str | None) -> TermsVersion:
    rows = [_row(terms, by, reason)]
    if session.execute(_INSERT, {"rows": msgspec.json.encode(rows).decode()}).first() is None:
        raise StaleTermsError(
            f"{terms.name} was changed at the same time: look again, tds alerts rules show {terms.name}"
        )
    return versions(session, terms.name)[0]
