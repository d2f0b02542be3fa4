"""Watching a comparison, or the runs of a repair, until it ends or nothing can go on before long."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tds_api.cli.common.output import moment
from tds_api.cli.comparison.backend import ComparisonBackend
from tds_core.comparison.queries import ComparisonStatus, PartStatus
from tds_core.sync.run_queries import RunDetails
from tds_models.comparison import ComparisonState
from tds_models.runs import RunState

LOOK_SECONDS = 0.2
#: A wait that is longer is not watched; nor is a comparison that gets no further for so long.
PATIENCE_SECONDS = 60.0

_OPEN_RUN = (RunState.QUEUED, RunState.RUNNING)
Look = Callable[[], ComparisonStatus]


def watch(backend: ComparisonBackend, look: Look, console: Console) -> tuple[ComparisonStatus, str]:
    """Show how a comparison gets on until it has ended. Returns it, and why watching ended before; "" if it did not."""
    pace = _Pace()
    with _progress(console) as progress:
        bars: dict[str, Any] = {}
        while True:
            status = look()
            for part in status["parts"]:
                if part["entity"] not in bars:
                    bars[part["entity"]] = progress.add_task("", total=None, says="")
                bar = _bar(part["read_count"], part["expected_count"], is_open=part["state"] == ComparisonState.RUNNING)
                progress.update(bars[part["entity"]], description=part["entity"], says=_says(part), **bar)
            if status["state"] != ComparisonState.RUNNING:
                return status, ""
            pace.note([(part["state"], part["read_count"], _calls(part)) for part in status["parts"]])
            if waits := _long_wait(status, pace) or _silence(backend, pace):
                return status, waits
            time.sleep(LOOK_SECONDS)


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<17}"), BarColumn(20), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[says]}", markup=False),
    )  # fmt: skip
    return Progress(*columns, console=console)


def _bar(count: int, expected: int | None, *, is_open: bool) -> dict[str, Any]:
    """How far a bar is. How many records there will be is a guess from what the mirror knows."""
    if is_open:
        return {"completed": count, "total": max(expected or 0, count) or None}
    return {"completed": count or 1, "total": count or 1}


def _says(part: PartStatus) -> str:
    words = [f"{part['suspect_count']:,} suspects"] if part["suspect_count"] else []
    words += [f"{_calls(part):,} calls"]
    if part["state"] != ComparisonState.RUNNING:
        return ", ".join([str(part["agreement"] or part["state"]), *words])
    if part["waits_for"]:
        until = f" until {moment(part['waits_until'])}" if part["waits_until"] else ""
        words.append(f"waits{until}: {part['waits_for']}")
    return ", ".join(words)


def _calls(part: PartStatus) -> int:
    return part["api_call_count"] or 0


class _Pace:
    """When something was last seen to go on."""

    def __init__(self) -> None:
        self._seen: Any = None
        self._since = time.monotonic()

    def note(self, seen: Any) -> None:
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()

    @property
    def is_lost(self) -> bool:
        return time.monotonic() - self._since > PATIENCE_SECONDS


def _long_wait(status: ComparisonStatus, pace: _Pace) -> str:
    """What all that is still open waits for, and until when; empty while it is worth watching."""
    open_parts = [part for part in status["parts"] if part["state"] == ComparisonState.RUNNING]
    put_off = [part for part in open_parts if part["is_put_off"]]
    blocked_runs = {str(part["run_id"]) for part in put_off}
    if not put_off or any(
        not part["is_put_off"] and str(part["follows_run_id"]) not in blocked_runs for part in open_parts
    ):
        return ""
    until = min(part["waits_until"] or datetime.now(UTC) for part in put_off)
    if (until - datetime.now(UTC)).total_seconds() <= PATIENCE_SECONDS and not pace.is_lost:
        return ""
    names = ", ".join(part["entity"] for part in put_off)
    reasons = dict.fromkeys(part["waits_for"] or "no reason is known" for part in put_off)
    return f"{names}: waits until {moment(until)}: {'; '.join(reasons)}"


def _silence(backend: ComparisonBackend, pace: _Pace) -> str:
    if pace.is_lost and backend.is_silent():
        return "nothing runs that could compare now; it goes on once TDS is started: tds up"
    return ""


def watch_runs(backend: ComparisonBackend, run_ids: Sequence[int], console: Console) -> tuple[list[RunDetails], str]:
    """Show how the targeted runs of a repair get on. Returns them, and why watching ended before they did."""
    pace = _Pace()
    with _progress(console) as progress:
        bars = {run_id: progress.add_task("", total=None, says="") for run_id in run_ids}
        while True:
            runs = [backend.run(run_id) for run_id in run_ids]
            for run_id, run in zip(run_ids, runs, strict=True):
                bar = _bar(run["fetched_count"], run["expected_count"], is_open=run["state"] in _OPEN_RUN)
                says = run["end_reason"] or run["state"]
                progress.update(bars[run_id], description=run["entity"], says=says, **bar)
            open_runs = [run for run in runs if run["state"] in _OPEN_RUN]
            if not open_runs:
                return runs, ""
            pace.note([(run["state"], run["fetched_count"]) for run in runs])
            if pace.is_lost:
                reasons = dict.fromkeys(run["refused"] or run["end_reason"] or "workers are busy" for run in open_runs)
                return runs, _silence(backend, pace) or f"the records still wait: {'; '.join(reasons)}"
            time.sleep(LOOK_SECONDS)
