"""Rules about runs: those held until a person decides, and those that failed."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.causes import SLOWING_CAUSES
from tds_core.alerts.rules.phrases import counted
from tds_models.alerts import AlertSeverity
from tds_models.entities import ENTITIES

_HELD = """
select r.entity, r.id as run_id, r.mode, h.kind, h.record_count, h.held_at
from tds_sync_runs r left join tds_run_holds h on h.run_id = r.id and h.decided_at is null
where r.state = 'held' order by r.id
"""
_FAILED = """
select e.entity, last.id as run_id, last.mode, last.ended_at, last.end_reason
from unnest(cast(:entities as text[])) as e(entity) cross join lateral (
    select id, mode, state, ended_at, end_reason from tds_sync_runs r
    where r.entity = e.entity and state in ('completed', 'failed') and mode in ('full', 'incremental')
    order by requested_at desc limit 1) as last
where last.state = 'failed' order by e.entity
"""


def held_runs(facts: AlertFacts) -> Iterator[RuleValue]:
    """By entity, how many records its held run would have changed or found gone."""
    for row in facts.rows(_HELD) if facts.health["held_runs"] else ():
        count = row["record_count"] or 0
        what = "find gone" if row["kind"] == "deletion" else "change"
        says = f"Run {row['run_id']} of {row['entity']} would {what} {counted(count, 'record')} and waits for a person."
        detail = {"run_id": row["run_id"], "mode": row["mode"], "command": f"tds runs show {row['run_id']}"}
        yield RuleValue(value=max(1, count), says=says, subject=row["entity"], detail=detail)


def failed_runs(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 for each entity whose last pass failed."""
    readable = [entity for entity in ENTITIES if entity not in facts.unread_entities]
    for row in facts.rows(_FAILED, {"entities": readable}):
        says = f"The last pass over {row['entity']}, run {row['run_id']} ({row['mode']}), failed."
        detail = {"run_id": row["run_id"], "reason": (row["end_reason"] or "")[:200]}
        yield RuleValue(value=1, says=says, subject=row["entity"], detail=detail)


RULES = (
    Rule(
        name="held_run",
        title="A run waits for a decision",
        severity=AlertSeverity.ERROR,
        measure=held_runs,
        threshold=0,
        unit="records",
        cause="The run would change or find gone more records than the mass-change guard lets pass unasked.",
        automatic="The mirror stays as it is, and no further pass of the entity begins; webhooks are applied.",
        command="tds runs list --state held",
        expression='max(tds_component_state{component="runs",state="warning"}) > 0',
    ),
    Rule(
        name="run_failed",
        title="The last pass over an entity failed",
        severity=AlertSeverity.WARNING,
        measure=failed_runs,
        threshold=0,
        unit="state",
        cause="Zoho refused a page again and again, or answered with what TDS cannot use.",
        automatic="The next scheduled pass tries again from its cursor.",
        command="tds runs list --state failed",
        muted_by=(*SLOWING_CAUSES, "schema_outdated"),
    ),
)
