"""Every benchmark, one after the other: a table of TDS beside its floor and peer, all figures, or JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import (
    alert_costs,
    alert_crash_recovery,
    backlog,
    bulk,
    bulk_wide,
    circuit_breakers,
    drain,
    first_days,
    full_sync,
    history_growth,
    ingest,
    observability_overhead,
    proof,
    quota,
    results,
    scaling,
    soak,
    table,
    webhook_database,
    webhook_to_row,
    zoho_calls,
)
from benchmarks.first_days_environment import Plan

Measure = Callable[[], Mapping[str, Any]]

#: What is measured: a name, and what answers figures by name.
BENCHMARKS: Mapping[str, Measure] = {
    "ingest": lambda: ingest.measure(seconds=4.0, threads=64),
    "webhook_database": webhook_database.measure,
    "webhook_to_row": webhook_to_row.measure,
    "bulk": lambda: bulk.measure(100_000),
    "bulk_wide": lambda: bulk_wide.measure(100_000),
    "drain": drain.measure,
    "backlog": backlog.measure,
    "circuit_breakers": circuit_breakers.measure,
    "quota": lambda: quota.measure(seconds=200, speed=20, per_day=1000),
    "history_growth": history_growth.measure,
    "scaling": scaling.measure,
    "full_sync": full_sync.measure,
    "zoho_calls": zoho_calls.measure,
    "first_days": first_days.measure,
    "proof": proof.measure,
    "observability_overhead": observability_overhead.measure,
    "alert_crash_recovery": alert_crash_recovery.measure,
    "alert_costs": alert_costs.measure,
    "soak": soak.measure,
}
#: Only by name: all the others together do not take as long.
LONG = {"soak"}
_FEW = dict.fromkeys(("products", "customers", "vendors", "orders", "invoices", "payments", "bills"), 5)
#: The same, so small that their figures mean nothing: whether they still run.
TRIALS: Mapping[str, Measure] = {
    "ingest": lambda: ingest.measure(seconds=0.1, threads=8, rounds=1, warm_up=200),
    "webhook_database": lambda: webhook_database.measure((1, 5), rounds=1),
    "webhook_to_row": lambda: webhook_to_row.measure((5.0, 10.0), seconds=2.0, size="small", products=1000),
    "bulk": lambda: bulk.measure(300, rounds=1),
    "bulk_wide": lambda: bulk_wide.measure(450, rounds=1),
    "drain": lambda: drain.measure(items=200, at_once=20, late=50),
    "backlog": lambda: backlog.measure(300),
    "circuit_breakers": lambda: circuit_breakers.measure(calls=100),
    "quota": lambda: quota.measure(seconds=4, speed=20, per_day=1000),
    "history_growth": lambda: history_growth.measure((2_000,), rounds=1),
    "scaling": lambda: scaling.measure(workers=(1, 2), seconds=2.0, invoices=900, warm_up=0.0),
    "full_sync": lambda: full_sync.measure("small", edits=20),
    "zoho_calls": lambda: zoho_calls.measure("small", changes=40, views=10, viewed=3),
    "first_days": lambda: first_days.measure(
        Plan(speed=4_000, per_day=5_000, edits_per_second=0.0, sizes=_FEW), headers_only=True
    ),
    "proof": lambda: proof.measure("small", 300),
    "observability_overhead": lambda: observability_overhead.measure(rounds=1, webhooks=20),
    "alert_crash_recovery": lambda: alert_crash_recovery.measure(20.0, every=1.0, lease=5.0),
    "alert_costs": lambda: alert_costs.measure(3.0, 100),
    "soak": lambda: soak.measure(hours=0.002, sample_seconds=2.0, size="small"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen benchmarks, all of them by default."""
    chosen = _parse(arguments)
    measured: dict[str, Mapping[str, Any]] = {}
    for name in chosen.names or [each for each in BENCHMARKS if each not in LONG]:
        print(f"{name} …", file=sys.stderr, flush=True)
        run = results.run_of(chosen.keep or "")
        measured[name] = (TRIALS if chosen.trial else BENCHMARKS)[name]()
        if chosen.keep:
            results.keep(name, measured[name], run)
    if chosen.json:
        print(json.dumps(measured))
    else:
        (_show_figures if chosen.figures else _show_table)(measured)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{' or '.join(BENCHMARKS)}; all but soak by default")
    parser.add_argument("--trial", action="store_true", help="so small that the figures mean nothing: do they run?")
    parser.add_argument("--json", action="store_true", help="all figures, for programs")
    parser.add_argument("--figures", action="store_true", help="all figures, one a line, instead of the table")
    parser.add_argument("--keep", metavar="CONDITIONS", help="keep the figures in results.json, with conditions")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if chosen.trial and chosen.keep:
        parser.error("figures of a trial mean nothing: --keep is not for them")
    return chosen


def _show_table(measured: Mapping[str, Mapping[str, Any]]) -> None:
    show = Table(*table.COLUMNS)
    for line in table.lines(measured):
        show.add_row(*line)
    Console().print(show)


def _show_figures(measured: Mapping[str, Mapping[str, Any]]) -> None:
    for name, figures in measured.items():
        for figure, value in figures.items():
            print(f"{name:24} {figure:36} {value!s:>12}")


if __name__ == "__main__":
    raise SystemExit(main())
