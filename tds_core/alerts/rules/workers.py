"""Rules about workers: whether any consumes, whether one is gone for good, and whether every queue has a consumer."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.phrases import counted, named
from tds_core.alerts.text_formatting import span
from tds_core.healing.missing_workers import missing_workers
from tds_models.alerts import AlertSeverity

# Workers report every two seconds.
REPORT_SECONDS = 10.0
#: Workers that were told to end are most often started again: in a deploy, by `tds workers stop` and `start`.
RESTART_SECONDS = 60.0


def workers_away(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds since any worker last reported that it consumes, RESTART_SECONDS fewer where it was told to end.

    Nothing before there ever was one.
    """
    if not facts.workers:
        return
    last = min(facts.workers, key=lambda worker: worker["silent_seconds"])
    missed = last["silent_seconds"] - (RESTART_SECONDS if last["is_stopped"] else 0.0)
    if missed > REPORT_SECONDS:
        how = ", and was told to end" if last["is_stopped"] else ""
        says = f"No worker consumes: the last one reported {span(last['silent_seconds'])} ago{how}."
        yield RuleValue(value=round(facts.watched(missed)), says=says)


def workers_gone(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many workers are gone without having been stopped, and were not replaced."""
    missing = missing_workers(facts.workers)
    if missing:
        names = [worker["name"] for worker in missing]
        many = counted(len(missing), "worker is", "workers are")
        says = f"{many} gone and not replaced, the first for {span(missing[0]['silent_seconds'])}: {named(names)}."
        yield RuleValue(value=len(missing), says=says, detail={"workers": names})


def unheard_queues(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many queues have no consumer though workers run."""
    queues = facts.health["unheard_queues"]
    if queues and facts.health["listening_count"]:
        names = queues.split(", ")
        says = f"No worker consumes {named(names)}; the messages go to other queues meanwhile."
        yield RuleValue(value=len(names), says=says, detail={"queues": names})


RULES = (
    Rule(
        name="no_worker",
        title="No worker consumes",
        severity=AlertSeverity.CRITICAL,
        measure=workers_away,
        threshold=25,
        unit="seconds",
        cause="The workers were stopped or killed and nothing started them again, or none can reach the database.",
        automatic="Webhooks are taken and kept; their work is done when workers run again.",
        command="tds workers start",
        for_seconds=15,
        expression='max(tds_component_state{component="listening",state="critical"}) > 0'
        ' and max(tds_workers{state="listening"}) < 1',
    ),
    Rule(
        name="worker_silent",
        title="A worker is gone",
        severity=AlertSeverity.CRITICAL,
        measure=workers_gone,
        threshold=0,
        unit="workers",
        cause="A worker was killed, ran out of memory or lost its machine, and its supervisor started no other.",
        automatic="The others take its work within seconds of its death.",
        command="tds workers status",
        for_seconds=240,
        muted_by=("no_worker",),
        expression='max(tds_workers{state="missing"}) > {threshold}',
    ),
    Rule(
        name="queue_unheard",
        title="A queue has no consumer",
        severity=AlertSeverity.ERROR,
        measure=unheard_queues,
        threshold=0,
        unit="queues",
        cause="Every worker was started with -Q and leaves this queue out, or lost it.",
        automatic="The dispatcher sends the messages to a queue that is consumed.",
        command="tds heal stats",
        for_seconds=30,
        muted_by=("redis_lost", "no_worker"),
        expression='max by (queue) (tds_queue_unheard_seconds) > 60 and on () max(tds_workers{state="listening"}) > 0',
    ),
)
