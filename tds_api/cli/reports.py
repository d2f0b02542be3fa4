"""How runs are printed: tables of them, details to come, what held one, and what a dry run found, field by field."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console

from tds_api.cli.output import cell, moment, say_table
from tds_models.runs import RunState

_COLUMNS = ("run", "entity", "mode", "state", "by", "records", "changed", "calls", "began", "took, s", "ends", "why")
_CHANGE = ("record", "name", "field", "before", "after")
# What a dry run counts, in the words of what a pass would do.
_WOULD = {
    "created": "created", "updated": "updated", "restored": "restored", "unchanged": "unchanged", "stale": "stale",
    "look_again": "would be read to be sure", "invalid": "invalid", "to_read": "details would be read",
    "absent": "absent, would be asked for", "other_kind": "of another kind, left out",
}  # fmt: skip


def show_runs(found: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print a table of runs."""
    rows = [
        (
            run["id"], run["entity"], run["mode"], run["state"], run["requested_by"], _records(run),
            run["changed_count"], run["api_call_count"], run["started_at"], run["duration_seconds"], run["ends_at"],
            _why(run),
        )
        for run in found
    ]  # fmt: skip
    say_table("Runs", _COLUMNS, rows, console=console)


def _records(run: Mapping[str, Any]) -> str:
    expected = f" of {run['expected_count']:,}" if run["expected_count"] else ""
    return f"{run['fetched_count']:,}{expected}"


def _why(run: Mapping[str, Any]) -> str | None:
    if run["behind_id"]:
        return f"waits for run {run['behind_id']}"
    outcomes = ", ".join(f"{name} {count:,}" for name, count in run["outcomes"].items() if count)
    return outcomes if run["state"] == RunState.COMPLETED else run["end_reason"] or outcomes


def show_details(ahead: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print, for each API, how many details are still to be read, and on which day the quota lets the last be read."""
    for each in ahead:
        left = ", ".join(f"{name} {count:,}" for name, count in each["left"].items())
        said = f"{each['api']}: known by their list rows alone: {left}; {each['call_count']:,} calls"
        if each["calls_today"] is not None:
            said += f", of which today's quota allows {min(each['call_count'], each['calls_today']):,}"
        if each["ends_at"] is not None:
            said += f"; all read {moment(each['ends_at'])} at the earliest"
        console.print(said, markup=False, soft_wrap=True)


def show_hold(hold: Mapping[str, Any], console: Console) -> None:
    """Print why a run was held, what was decided, and examples of what is at stake."""
    decided = f"{hold['decision']} by {hold['decided_by']}" if hold["decision"] else "waits for a decision"
    console.print(f"\nHeld {cell(hold['held_at'])}, {decided}: {hold['reason']}", markup=False, soft_wrap=True)
    examples, many = hold["preview"]["examples"], f"{hold['record_count']:,}"
    if hold["kind"] == "deletion":
        _show_names(
            f"Would be asked for, and deleted here if Zoho has no such record; some of {many}", examples, console
        )
        console.print(
            "If Zoho's list was whole, they were deleted there, or are of another organisation: tds doctor",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    else:
        show_changes(f"Changes of the page it stopped at; some of {many}", examples, console)


def show_report(run: Mapping[str, Any], console: Console) -> None:
    """Print what a dry run found."""
    counts = [f"{_WOULD[name]} {count:,}" for name, count in run["outcomes"].items() if count and name in _WOULD]
    console.print(
        f"Dry run {run['id']} of {run['entity']}, {run['state']}: {', '.join(counts) or 'nothing found'}; "
        f"{run['api_call_count']:,} calls. Nothing was changed.",
        markup=False,
        soft_wrap=True,
    )
    report = run["report"] or {}
    for kind, title in (("created", "Would be created"), ("absent", "Absent, would be asked for")):
        if report.get(kind):
            _show_names(f"{title}{_some(report[kind], run['outcomes'].get(kind, 0))}", report[kind], console)
    if report.get("updated"):
        total = sum(run["outcomes"].get(each, 0) for each in ("updated", "restored"))
        show_changes(f"Would be updated{_some(report['updated'], total)}", report["updated"], console)


def _some(shown: Sequence[Any], total: int) -> str:
    return f", {len(shown):,} of {total:,}" if len(shown) < total else ""


def _show_names(title: str, examples: Iterable[Mapping[str, Any]], console: Console) -> None:
    say_table(title, _CHANGE[:2], [(each["source_id"], each["name"]) for each in examples], console=console)


def show_changes(title: str, examples: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print a table of changed fields with what stands here and what the source says."""
    rows = [
        (each["source_id"], each["name"], field, _brief(before), _brief(after))
        for each in examples
        for field, (before, after) in each["changes"].items()
    ]
    say_table(title, _CHANGE, rows, console=console)


def _brief(value: Any) -> Any:
    return f"{len(value)} lines" if isinstance(value, list) else value
