"""The report of a chaos run: faults, broken invariants, and recovery times."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tds_core.invariants.checks import Promise
from tds_core.invariants.verify import InvariantResult, broken
from tds_lab.chaos.worker_recovery_times import OrphanRecovery
from tds_lab.comparison.mirror_comparison import Comparison
from tds_lab.demo import stats

EXAMPLES_SHOWN = 10
#: Counts that must be zero.
VERDICT = ("lost", "doubled", "backwards", "differences")


@dataclass(frozen=True, kw_only=True)
class ChaosResult:
    """What a chaos run measured."""

    seed: int
    without: Sequence[str]
    edit_count: int
    began_at: datetime
    ended_at: datetime
    quiet_seconds: float
    counts: Counter[str]
    acts: Counter[str]
    missed: Counter[str]
    recovery: OrphanRecovery
    findings: Sequence[InvariantResult]
    comparison: Comparison
    caught: Mapping[str, Any] | None


def make_report(connection: Connection, state: Mapping[str, Any], run: ChaosResult) -> stats.Figures:
    """Everything as one JSON object."""
    pending = stats.pending_work(connection)
    # What was stopped in the middle owes something and has lost nothing yet.
    left = 0 if run.caught and not run.quiet_seconds else pending.events + pending.items
    received = stats.received_count(connection)
    missing_count, doubled_count = deliveries_gone_wrong(state["deliveries"]["by_kind"], received)
    findings = list(run.findings)
    return {
        "seed": run.seed,
        "without": list(run.without),
        "seconds": round((run.ended_at - run.began_at).total_seconds(), 1),
        "edits": run.edit_count,
        "events": received,
        "duplicates": stats.duplicate_count(connection),
        "rejected": stats.rejected_count(connection),
        **{name: run.counts[name] for name in ("kills", "orphans", "freezes", "redis_wipes", "redis_stops")},
        **{name: run.counts[name] for name in ("pg_restarts", "connections_cut", "zoho_outages", "webhook_storms")},
        "lost": broken(findings, Promise.LOST) + left + missing_count,
        "doubled": broken(findings, Promise.DOUBLED) + doubled_count,
        "backwards": broken(findings, Promise.BACKWARDS),
        "differences": broken(findings, Promise.DIFFERENT) + len(run.comparison.differences),
        "difference_examples": run.comparison.examples(),
        "violations": [_violation(each) for each in findings if each.violation_count],
        "records_compared": run.comparison.record_count,
        "parts_compared": run.comparison.part_count,
        "dead_letters": stats.dead_letter_count(connection),
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
    """Whether no invariant was broken."""
    return not any(report[name] for name in VERDICT)


def deliveries_gone_wrong(by_kind: Mapping[str, Mapping[str, int]], received: int) -> tuple[int, int]:
    """Numbers of accepted deliveries missing from the inbox, and of events there that were never sent.

    A delivery whose answer was an error, or was lost, may or may not have been stored.
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
