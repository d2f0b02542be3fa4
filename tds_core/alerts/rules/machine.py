"""Rules about the machine and the installation: disk, memory, clocks, connections, schema, protections."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.text_formatting import span
from tds_core.configuration.disabled_protections import switched_off
from tds_core.errors import ConfigError
from tds_core.health.infrastructure import DISK_SHARE, MEMORY_SHARE, is_migrated
from tds_core.protection_switches import VARIABLE, Protection, is_off
from tds_core.quality.future_timestamps import CLOCK_SET_BACK
from tds_models.alerts import AlertSeverity

# So much room is enough, however small a share of a large disk it is.
ENOUGH_BYTES = 10e9
# Clocks of machines that are kept in time differ by milliseconds.
LEAST_SKEW_SECONDS = 2.0
#: Jobs of the timetable that protect: paused for long, nothing is healed, sealed, proven or tidied.
PROTECTING = ("auto-healing", "lease-rescue", "audit-seal", "comparison", "retention", "incremental-sync", "full-sync")


def full_disk(facts: AlertFacts) -> Iterator[RuleValue]:
    """The share of the disk of TDS_HOME that is used, 0 to 1; nothing while there is room enough."""
    total, free = facts.disk_bytes
    if free < ENOUGH_BYTES:
        says = f"{1 - free / total:.0%} of the disk of TDS_HOME is used: {free / 1e9:,.1f} GB are free."
        yield RuleValue(value=round(1 - free / total, 2), says=says, detail={"free_bytes": free})


def full_memory(facts: AlertFacts) -> Iterator[RuleValue]:
    """The share of memory in use where this is measured, 0 to 1."""
    yield RuleValue(value=round(facts.memory_share, 2), says=f"{facts.memory_share:.0%} of the memory is used.")


def clock_skew(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds by which the clocks of the database and of this process differ, or the database's was set back."""
    skew = facts.clock_skew_seconds
    if abs(skew) > LEAST_SKEW_SECONDS:
        says = f"The clock of the database is {span(abs(skew))} {'ahead of' if skew > 0 else 'behind'} this machine's."
        yield RuleValue(value=round(abs(skew)), says=says, subject="machines")
    for row in facts.rows(_SET_BACK, {"kind": CLOCK_SET_BACK}) if facts.health["finding_count"] else ():
        if (row["seconds"] or 0.0) > 0:
            says = f"The clock of the database was set back by {span(row['seconds'])}."
            yield RuleValue(value=round(row["seconds"]), says=says, subject="database")


_SET_BACK = """
select max((detail ->> 'behind_seconds')::float8) - extract(epoch from now() - max(last_seen_at))::float8 as seconds
from tds_findings where resolved_at is null and kind = :kind
"""


def old_schema(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 while the database lacks migrations that this version needs."""
    revision = facts.health["revision"]
    if not is_migrated(revision):
        yield RuleValue(value=1, says=f"The database is at revision {revision}, and this version needs a newer one.")


_PAUSED = """
select name, extract(epoch from clock_timestamp() - paused_at)::float8 as seconds from tds_scheduled_jobs
where paused_at < clock_timestamp() - make_interval(secs => :patience) and name = any(:names) order by name
"""
#: An operator may pause a job for so long before it is worth a word.
PATIENCE_SECONDS = 4 * 3600.0


def protections_off(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 for each protection that is switched off by a setting, and each protecting job that is paused for long."""
    if not facts.settings.deaf_seconds:
        says = "Workers that consume nothing are not ended: TDS_DEAF_SECONDS is 0."
        yield RuleValue(value=1, says=says, subject="workers")
    for switch in switched_off(facts.settings):
        yield RuleValue(value=1, says=f"{switch.says[0].upper()}{switch.says[1:]}.", subject=switch.name)
    for each in filter(_is_off, Protection):
        yield RuleValue(value=1, says=f"{VARIABLE} switches the protection {each.value} off.", subject=each.value)
    params = {"names": list(PROTECTING), "patience": PATIENCE_SECONDS}
    for row in facts.rows(_PAUSED, params) if facts.signs["has_paused_jobs"] else ():
        says = f"The job {row['name']} has been paused for {span(row['seconds'])}."
        yield RuleValue(value=1, says=says, subject=row["name"])


def _is_off(protection: Protection) -> bool:
    """Whether a protection is off; a process that may not have it off does nothing at all."""
    try:
        return is_off(protection)
    except ConfigError:
        return True


RULES = (
    Rule(
        name="schema_outdated",
        title="The database needs a migration",
        severity=AlertSeverity.CRITICAL,
        measure=old_schema,
        threshold=0,
        unit="state",
        cause="A newer version was started before its migrations were carried out, or an older backup put back.",
        automatic="Programs that need the newer tables wait, or fail and are started again.",
        command="tds migrate",
        for_seconds=30,
        expression='max(tds_component_state{component="database",state="critical"}) > {threshold}',
    ),
    Rule(
        name="disk",
        title="The disk is nearly full",
        severity=AlertSeverity.ERROR,
        measure=full_disk,
        threshold=DISK_SHARE,
        unit="ratio",
        cause="Logs, the embedded database or other programs have filled it.",
        automatic="Old rows of every log are removed each night; the mirror and its history are kept.",
        command="tds doctor",
        for_seconds=60,
        expression='max(tds_component_state{component="disk",state="warning"}) > 0',
    ),
    Rule(
        name="memory",
        title="Memory is nearly full",
        severity=AlertSeverity.WARNING,
        measure=full_memory,
        threshold=MEMORY_SHARE,
        unit="ratio",
        cause="Too many workers for this machine, or another program needs its memory.",
        automatic="A worker's process that grows beyond 400 MB is replaced.",
        command="tds health",
        for_seconds=600,
        expression="max(tds_memory_used_ratio) > {threshold}",
    ),
    Rule(
        name="clock_skew",
        title="Clocks differ",
        severity=AlertSeverity.WARNING,
        measure=clock_skew,
        threshold=30,
        unit="seconds",
        cause="A machine does not keep its clock in time, or somebody set it.",
        automatic="Only the database's clock is compared; what it overtook is read again, ever more seldom.",
        command="tds doctor",
        for_seconds=60,
        expression='max(tds_findings_open{kind="clock_set_back"}) > 0',
    ),
    Rule(
        name="protection_off",
        title="A protection is switched off",
        severity=AlertSeverity.WARNING,
        measure=protections_off,
        threshold=0,
        unit="state",
        cause="A setting switches it off, or an operator paused its job and did not let it run again.",
        automatic="Nothing: it stays off until it is switched on.",
        command="tds config",
        for_seconds=60,
        expression='max(tds_component_state{component="protections",state="warning"}) > {threshold}',
    ),
    Rule(
        name="pool_exhausted",
        title="Connections to the database run out",
        severity=AlertSeverity.WARNING,
        measure=None,
        threshold=0.9,
        unit="ratio",
        cause="More requests or tasks at once than the pool has connections, or slow statements hold them.",
        automatic="Callers wait ten seconds for a connection.",
        command="tds doctor",
        for_seconds=300,
        expression='sum by (pool) (tds_pool_connections{pool=~"api|worker"})'
        ' / sum by (pool) (tds_pool_limit{pool=~"api|worker"}) > {threshold}',
    ),
    Rule(
        name="slow_operations",
        title="Operations are slow",
        severity=AlertSeverity.WARNING,
        measure=None,
        threshold=20,
        unit="operations",
        cause="The database or Zoho is slow, or the machine is too small for what it does.",
        automatic="Each is written to the log as operation_slow, with what it was.",
        command="tds health",
        expression="sum by (operation) (increase(tds_slow_operations_total[15m])) > {threshold}",
    ),
)
