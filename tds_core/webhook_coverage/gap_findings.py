"""Gap findings: tell a person which webhooks stay away, what to do, and that they came again."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.quality.findings import NewFinding
from tds_core.webhook_coverage.rule_state import ALL, MissedSince, RuleState, judge_rule
from tds_models.entities import ENTITIES
from tds_models.findings import Severity

#: A rule that seems switched off; one that never was heard; single changes that were announced wrongly or not at all.
RULE_OFF, RULE_MISSING, GAPS = "webhook_rule_off", "webhook_rule_missing", "webhook_gaps"
KINDS = (RULE_OFF, RULE_MISSING, GAPS)
_KIND_OF = {RuleState.OFF: RULE_OFF, RuleState.MISSING: RULE_MISSING}

# More need not be counted to know that a rule is off.
_MOST_COUNTED = 1000
_MISSED = text(f"""
with whole as (
    select source, entity, max(greatest(last_told_at, last_received_at)) as told_at
    from tds_webhook_rules group by source, entity
), t as (
    select r.source, r.entity, '{ALL}' as subject, r.event, r.begins_at, whole.told_at
    from tds_webhook_rules r join whole using (source, entity)
    union all
    select source, entity, event, event, begins_at, last_told_at from tds_webhook_rules
)
select t.source, t.entity, t.subject, t.told_at, sum(m.missed_count)::int as missed_count,
       min(m.first_missed_at) as first_missed_at, max(m.last_missed_at) as last_missed_at,
       (array_agg(m.examples order by m.last_missed_at desc nulls last))[1] as examples
from t cross join lateral (
    select count(*) as missed_count, min(changed_at) as first_missed_at, max(changed_at) as last_missed_at,
           to_jsonb((array_agg(source_id order by changed_at desc))[1:3]) as examples
    from (select changed_at, source_id from tds_webhook_gaps g
          where g.entity = t.entity and g.source = t.source and g.verdict = 'never' and g.operation = t.event
            and g.changed_at > coalesce(t.told_at, t.begins_at)
          order by g.changed_at desc limit {_MOST_COUNTED}) g
) m
group by t.source, t.entity, t.subject, t.told_at order by t.source, t.entity, t.subject
""")
_RECENT = text("""
select source, entity, verdict, coalesce(reason, '') as reason, count(*) as gap_count, max(found_at) as found_at,
       (array_agg(source_id order by entry_id desc))[1:3] as examples
from tds_webhook_gaps where verdict <> 'late' and found_at > now() - interval '24 hours'
group by 1, 2, 3, 4 order by 1, 2, 3, 4
""")
_NOW = text("select now()")


def missed_since(session: Session) -> list[MissedSince]:
    """For each entity that sends webhooks, and each of its events, what was missed since it was last heard."""
    rows = session.execute(_MISSED).mappings()
    return [MissedSince(**{**row, "examples": tuple(row["examples"] or ())}) for row in rows]


def rule_states(session: Session) -> dict[tuple[str, str], RuleState]:
    """The state of each entity's rules, by entity and subject; of an entity that is silent only the whole."""
    now: datetime = session.execute(_NOW).scalar_one()
    return {(each.entity, each.subject): state for each, state in _judged(missed_since(session), now)}


def _judged(missed: Sequence[MissedSince], now: datetime) -> list[tuple[MissedSince, RuleState]]:
    judged = [(each, judge_rule(each, now)) for each in missed]
    silent = {each.entity for each, state in judged if each.subject == ALL and state is not RuleState.HEARD}
    return [(each, state) for each, state in judged if each.subject == ALL or each.entity not in silent]


def report_gaps(session: Session) -> int:
    """Keep a finding for each rule that stays silent and for the gaps of 24 hours; resolve what is over.

    Returns how many are open.
    """
    now: datetime = session.execute(_NOW).scalar_one()
    judged = [(each, state) for each, state in _judged(missed_since(session), now) if state is not RuleState.HEARD]
    found = [_rule_finding(each, state) for each, state in judged]
    silent = {each.entity for each, _ in judged if each.subject == ALL}
    recent = session.execute(_RECENT).mappings().all()
    found += [_gap_finding(row) for row in recent if row["verdict"] == "wrong" or row["entity"] not in silent]
    findings.report_many(session, found)
    findings.close_others(session, kinds=KINDS, still_open=found)
    return len(found)


def _rule_finding(missed: MissedSince, state: RuleState) -> NewFinding:
    which = "" if missed.subject == ALL else f" of {missed.subject} records"
    title = ENTITIES[missed.entity].title
    count = _changes(missed.missed_count, " or more" if missed.missed_count >= _MOST_COUNTED else "")
    if state is RuleState.OFF:
        says = (
            f"{title}: no webhook{which} since {_minute(missed.told_at)}, and polling found {count} since."
            " The workflow rule in Zoho seems switched off, unless Zoho could not reach TDS or made them itself."
            " Next: tds zoho webhooks status"
        )
    else:
        says = f"{title}: no webhook{which} has ever come, and polling found {count}. Next: tds zoho webhooks install"
    detail = {
        "news": says,
        "missed_count": missed.missed_count,
        "told_at": missed.told_at,
        "first_missed_at": missed.first_missed_at,
        "last_missed_at": missed.last_missed_at,
        "examples": list(missed.examples),
    }
    return NewFinding(
        kind=_KIND_OF[state],
        severity=Severity.WARNING,
        source=missed.source,
        entity=missed.entity,
        subject=missed.subject,
        detail=detail,
    )


def _gap_finding(row: RowMapping) -> NewFinding:
    reason = row["reason"] or row["verdict"]
    title, count = ENTITIES[row["entity"]].title, row["gap_count"]
    severity, says = _GAP_TEXTS.get(reason, (Severity.WARNING, _REFUSED))
    detail = {
        "news": f"{title}: {says.format(count=_changes(count), reason=reason, entity=row['entity'])}",
        "gap_count": count,
        "last_found_at": row["found_at"],
        "examples": list(row["examples"]),
    }
    return NewFinding(
        kind=GAPS, severity=severity, source=row["source"], entity=row["entity"], subject=reason, detail=detail
    )


_REFUSED = (
    "the webhooks of {count} in 24 hours came and were refused ({reason}); polling brought what changed."
    " Next: tds zoho webhooks install, which gives Zoho the right secret"
)
_GAP_TEXTS: Mapping[str, tuple[Severity, str]] = {
    "never": (
        Severity.NOTE,
        "{count} in 24 hours not announced by webhook; polling brought what changed."
        " Which: tds zoho webhooks coverage --entity {entity} --gaps",
    ),
    "older_state": (
        Severity.NOTE,
        "the webhooks of {count} in 24 hours told of an older state; polling brought the newer one."
        " Which: tds zoho webhooks coverage --entity {entity} --gaps",
    ),
    "deleted": (
        Severity.WARNING,
        "webhooks called records deleted that polling still found ({count} in 24 hours)."
        " Look whether a workflow rule leads to the wrong address: tds zoho webhooks status",
    ),
}


def _changes(count: int, more: str = "") -> str:
    return f"{count}{more} change{'' if count == 1 else 's'}"


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "ever"
