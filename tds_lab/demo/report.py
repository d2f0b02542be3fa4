"""The report of a demo: deliveries and their outcomes, latency, and whether mirror and stand-in agree."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tds_lab.comparison.mirror_comparison import Comparison
from tds_lab.demo import stats
from tds_lab.demo.phases import SweepResult
from tds_lab.zoho_stand_in import call_count

# Duplicates are counted with the content they repeat, which is forgotten after TDS_DUPLICATE_WINDOW_SECONDS.
DUPLICATES_COUNTED_SECONDS = 600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """What the phases of a demo measured."""

    edit_count: int
    edits_began_at: datetime
    edits_ended_at: datetime
    swept: SweepResult
    comparison: Comparison
    timings: Mapping[str, float | None]


def make_report(connection: Connection, state: Mapping[str, Any], result: RunResult) -> stats.Figures:
    """Everything a program may want to know, as one JSON object; `problems` is empty when all is well."""
    verdicts = stats.count_verdicts(connection, result.edits_began_at)
    deliveries = state["deliveries"]
    report = {
        "edits": result.edit_count,
        "events_sent": deliveries["sent_count"],
        "events_received": sum(verdicts.values()),
        "verdicts": verdicts,
        "events_without_verdict": verdicts.get("none", 0),
        "duplicates": stats.duplicate_count(connection),
        "rejected": stats.rejected_count(connection),
        "dropped": deliveries["dropped_count"],
        "deliveries": deliveries["by_kind"],
        "dead_letters": stats.dead_letter_count(connection),
        "latency_ms": stats.latency_ms(connection, since=result.edits_began_at, until=result.edits_ended_at),
        "p95_ms_by_entity": stats.p95_ms_by_entity(
            connection, since=result.edits_began_at, until=result.edits_ended_at
        ),
        "records_compared": result.comparison.record_count,
        "parts_compared": result.comparison.part_count,
        "differences": len(result.comparison.differences),
        "difference_examples": result.comparison.examples(),
        "healed_by_sweep": result.swept.healed_count,
        "polled_by_sweep": result.swept.polled_count,
        "api_calls": call_count(state),
        "timings_seconds": dict(result.timings),
    }
    pending = stats.pending_work(connection)
    lasted_seconds = (result.edits_ended_at - result.edits_began_at).total_seconds()
    counted = lasted_seconds < DUPLICATES_COUNTED_SECONDS
    found = problems(report, pending, duplicates_counted=counted)
    return {**report, "owed": dataclasses.asdict(pending), "problems": found}


def problems(report: Mapping[str, Any], pending: stats.PendingWork, *, duplicates_counted: bool = True) -> list[str]:
    """Sentences on what is wrong; each of them fails the demo."""
    genuine, forged = _statuses(report["deliveries"], forged=False), _statuses(report["deliveries"], forged=True)
    # A delivery whose answer was lost on the way may or may not have been kept.
    unsure = genuine.get("error", 0)
    found = []
    if report["differences"]:
        found.append(f"{report['differences']} differences")
    if report["events_without_verdict"]:
        found.append(f"{report['events_without_verdict']} events without verdict")
    if pending:
        found.append(f"still owed: {pending}")
    for what, answered, kept in (
        ("new", genuine.get("202", 0), report["events_received"]),
        ("duplicate", genuine.get("200", 0), report["duplicates"]),
        ("forged", forged.get("401", 0), report["rejected"]),
    ):
        least = answered if what != "duplicate" or duplicates_counted else 0
        if not least <= kept <= answered + unsure:
            found.append(f"{answered} deliveries were answered as {what}, {kept} are kept as such")
    if believed := sum(count for status, count in forged.items() if status.startswith("2")):
        found.append(f"{believed} forged deliveries were believed")
    return found


def _statuses(by_kind: Mapping[str, Mapping[str, int]], *, forged: bool) -> dict[str, int]:
    totals: dict[str, int] = {}
    for kind, statuses in by_kind.items():
        if (kind == "forged") is forged:
            for status, count in statuses.items():
                totals[status] = totals.get(status, 0) + count
    return totals
