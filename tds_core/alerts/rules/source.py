"""Rules about the source: access, certificates, circuit breakers and permissions."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.phrases import counted, named
from tds_core.alerts.text_formatting import span
from tds_core.breakers.breaker import BreakerStatus
from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import DATABASE
from tds_core.sources.zoho.organization_connection import AccessStatus, access_status, stored_connection
from tds_models.alerts import AlertSeverity

#: How the errors of TDS begin to speak of a certificate.
CERTIFICATE = "its certificate is not trusted"


def refusals(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 while Zoho refuses the access it once gave; an organisation that was never connected is not refused."""
    if not facts.signs["has_access_trouble"]:
        return
    with facts.scope() as session:
        stored = stored_connection(session)
    if access_status(stored, facts.settings) is AccessStatus.REFUSED:
        since = stored.get("refused_at")
        says = f"Zoho has given no access since {since:%Y-%m-%d %H:%M} UTC, so nothing is read."
        yield RuleValue(value=1, says=says, detail={"reason": (stored.get("refusal") or "")[:200], "since": since})


_UNTRUSTED = """
select block_reason from tds_source_tokens where failed_count > 0 and block_reason like '%' || :words || '%' limit 1
"""


def untrusted_certificates(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many parts of the source are left alone because their certificate is not trusted."""
    names = [each.name for each in _opened(facts) if CERTIFICATE in (each.last_error or "")]
    if facts.signs["has_access_trouble"] and facts.rows(_UNTRUSTED, {"words": CERTIFICATE}):
        names.append("the token endpoint")
    if names:
        says = f"The certificate of the source is not trusted here: {named(names)}. Nothing is read there."
        yield RuleValue(value=len(names), says=says, detail={"breakers": names})


def open_breakers(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 for each breaker that is not closed. That of the database only reports, and is not asked."""
    for each in _opened(facts):
        seconds = (facts.now - each.opened_at).total_seconds() if each.opened_at else 0.0
        says = f"{each.name} has been left alone for {span(seconds)}, after {counted(each.failures_in_row, 'failure')}."
        detail = {"state": each.state.value, "opened_at": each.opened_at, "error": (each.last_error or "")[:200]}
        yield RuleValue(value=1, says=says, subject=each.name, detail=detail)


def _opened(facts: AlertFacts) -> list[BreakerStatus]:
    """The breakers that are open or half open, without the database's."""
    return [each for each in facts.breaker_states if each.state is not CircuitState.CLOSED and each.name != DATABASE]


_PERMISSIONS = """
select api, path, min(scope) as scope, count(*) filter (where source_id <> '') as record_count,
    bool_or(source_id = '') as is_whole, min(refused_at) as refused_at
from tds_missing_permissions group by api, path order by api, path
"""


def refused_modules(facts: AlertFacts) -> Iterator[RuleValue]:
    """By module, how many of its records may not be read; 1 where the whole module may not."""
    for row in facts.rows(_PERMISSIONS) if facts.health["missing_count"] else ():
        what = "" if row["is_whole"] else f" {counted(row['record_count'], 'record')} of"
        yield RuleValue(
            value=1 if row["is_whole"] else row["record_count"],
            says=f"Zoho does not let TDS read{what} {row['path']}; the scope {row['scope']} may be missing.",
            subject=f"{row['api']}.{row['path']}",
            detail={"scope": row["scope"], "since": row["refused_at"]},
        )


RULES = (
    Rule(
        name="zoho_refused",
        title="Zoho gives no access",
        severity=AlertSeverity.CRITICAL,
        measure=refusals,
        threshold=0,
        unit="state",
        cause="The refresh token was revoked, its user lost the right to the organisation, or the client was deleted.",
        automatic="Webhooks with complete records are applied; all other work waits, and is tried again by itself.",
        command="tds zoho status",
        expression='max(tds_component_state{component="zoho",state="critical"}) > {threshold}',
    ),
    Rule(
        name="source_certificate",
        title="The certificate of the source is not trusted",
        severity=AlertSeverity.CRITICAL,
        measure=untrusted_certificates,
        threshold=0,
        unit="endpoints",
        cause="A proxy between TDS and Zoho shows its own certificate, or the certificates of this machine are old.",
        automatic="Calls are refused rather than made without trust; the breaker tries again by itself.",
        command="tds doctor",
        muted_by=("redis_lost",),
    ),
    Rule(
        name="breaker_open",
        title="A part of Zoho is left alone",
        severity=AlertSeverity.ERROR,
        measure=open_breakers,
        threshold=0,
        unit="state",
        cause="Zoho answers these calls with faults, or not at all.",
        automatic="Work waits without losing attempts; the breaker tries again after a minute, then ever less often.",
        command="tds breakers",
        for_seconds=30,
        muted_by=("redis_lost", "source_certificate"),
        expression='max by (breaker) (tds_breaker_state{breaker!="database",state=~"open|half_open"}) > {threshold}',
    ),
    Rule(
        name="missing_permission",
        title="A module of Zoho may not be read",
        severity=AlertSeverity.ERROR,
        measure=refused_modules,
        threshold=0,
        unit="records",
        cause="The connection was made without this scope, or its user may not see the module.",
        automatic="Other modules go on; this one is tried again after a minute, then ever less often.",
        command="tds zoho status",
        for_seconds=120,
        muted_by=("zoho_refused",),
        expression='max(tds_findings_open{kind="permission_missing"}) > 0',
    ),
)
