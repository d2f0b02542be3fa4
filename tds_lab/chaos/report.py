"""The report of a chaos run: what was done to it, what became of the promises, and how fast it recovered."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tds_core.invariants.checks import Promise
from tds_core.invariants.verify import InvariantResult, broken
from tds_lab.chaos.orphans import Recovery
from tds_lab.comparison.comparison import Comparison
from tds_lab.demo import stats

EXAMPLES_SHOWN = 10
#: What must be nought.
VERDICT = ("lost", "doubled", "backwards", "differences")


@dataclass(frozen=True, kw_only=True)
class ChaosResult:
    """What a chaos run brought to know."""

    seed: int
    without: Sequence[str]
    edit_count: int
    began_at: datetime
    ended_at: datetime
    quiet_seconds: float
    counts: Counter[str]
    acts: Counter[str]
    missed: Counter[str]
    recovery: Recovery
    findings: Sequence[InvariantResult]
    comparison: Comparison
    caught: Mapping[str, Any] | None


def make_report(connection: Connection, state: Mapping[str, Any], run: ChaosResult) -> stats.Figures:
    """Everything as one JSON object."""
    owed = stats.owed(connection)
    # What was stopped in the middle owes something and has lost nothing yet.
    left = 0 if run.caught and not run.quiet_seconds else owed.events + owed.items
    received = stats.received_count(connection)
    unkept, doubled = deliveries_gone_wrong(state["deliveries"]["by_kind"], received)
    findings = list(run.findings)
    return {
        "seed": run.seed,
        "without": list(run.without),
        "seconds": round((run.ended_at - run.began_at).total_seconds(), 1),
        "edits": run.edit_count,
        "events": received,
        "duplicates": stats.duplicates(connection),
        "rejected": stats.rejected(connection),
        **{name: run.counts[name] for name in ("kills", "orphans", "freezes", "redis_wipes", "redis_stops")},
        **{name: run.counts[name] for name in ("pg_restarts", "connections_cut", "zoho_outages", "webhook_storms")},
        "lost": broken(findings, Promise.LOST) + left + unkept,
        "doubled": broken(findings, Promise.DOUBLED) + doubled,
        "backwards": broken(findings, Promise.BACKWARDS),
        "differences": broken(findings, Promise.DIFFERENT) + len(run.comparison.differences),
        "difference_examples": run.comparison.examples(),
        "violations": [_violation(each) for each in findings if each.violation_count],
        "records_compared": run.comparison.record_count,
        "parts_compared": run.comparison.part_count,
        "dead_letters": stats.dead_letters(connection),
        "verdicts": stats.count_verdicts(connection, run.began_at),
        "recovery_seconds": run.recovery.figures(),
        "quiet_seconds": round(run.quiet_seconds, 1),
        "latency_ms": stats.latency_ms(connection, since=run.began_at, until=run.ended_at),
        "acts": dict(sorted(run.acts.items())),
        "missed": dict(sorted(run.missed.items())),
        "caught": run.caught,
        "load_average": [round(each, 1) for each in os.getloadavg()],
    }


def is_well(report: Mapping[str, Any]) -> bool:
    """Whether every promise was kept."""
    return not any(report[name] for name in VERDICT)


def deliveries_gone_wrong(by_kind: Mapping[str, Mapping[str, int]], received: int) -> tuple[int, int]:
    """Deliveries that were accepted and are not in the inbox, and events there that nobody sent.

    Whether a delivery was kept whose answer was an error, or was lost on the way, nobody knows.
    """
    genuine: Counter[str] = Counter()
    for kind, statuses in by_kind.items():
        if kind != "forged":
            genuine.update(statuses)
    accepted = genuine["202"]
    unsure = sum(count for status, count in genuine.items() if status == "error" or status.startswith("5"))
    return max(0, accepted - received), max(0, received - accepted - unsure)


def _violation(finding: InvariantResult) -> dict[str, Any]:
    cases = [f"{each.entity} {each.source_id}: {each.found}" for each in finding.examples[:EXAMPLES_SHOWN]]
    return {"promise": finding.promise, "says": finding.says, "count": finding.violation_count, "examples": cases}
