"""`tds validate`: shows which records break a rule, the worst first, with the next step for each kind."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from tds_api.cli.common.database import database
from tds_api.cli.common.output import NoSuchEntityError, say_json, say_table, terminal
from tds_api.cli.common.remote_api import Remote, remote
from tds_core.config.settings import load_settings
from tds_core.errors import NotFoundError, TdsError
from tds_core.validation.report import INTEGRITY, MOST_NAMED, ORPHANS
from tds_core.validation.report import validate as report_of
from tds_core.validation.report_requests import subject_called
from tds_core.validation.rules import Check, severities
from tds_models.db import session_scope, set_statement_timeout
from tds_models.entities import ENTITIES
from tds_models.findings import Severity

LOOK_SECONDS = 2.0
# Longest time of one check.
CHECK_SECONDS = 3600
#: Of a report, what programs get; the numbers by kind are for people.
_DOCUMENT = ("timestamp", "entity_type", "statistics", "issues")

Report = dict[str, Any]


class ReportFailedError(TdsError):
    """A report could not be made."""

    code = "validation_failed"


def validate(
    entity: str = typer.Argument("", help=f"For example product, {INTEGRITY} or {ORPHANS}; nothing: every entity."),
    limit: int = typer.Option(20, min=1, max=MOST_NAMED, help="So many issues of each report are shown."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Look for records that break a rule: required fields, ranges, duplicates, references, totals, age, refusals.

    Exit code 1: there is an error; warnings alone are 0.
    """
    try:
        subjects = [subject_called(entity)] if entity else list(ENTITIES)
    except NotFoundError as error:
        raise NoSuchEntityError(str(error)) from None
    progress = _progress(terminal(stderr=True, quiet=as_json))
    api = remote()
    with progress:
        found = list(_remote_reports(api, subjects, progress) if api else _local_reports(subjects, progress))
    shown = [{**report, "issues": report["issues"][:limit]} for report in found]
    if as_json:
        documents = [{name: report[name] for name in _DOCUMENT} for report in shown]
        say_json(documents[0] if entity else documents)
    else:
        _show(shown, terminal())
    if any(kind["severity"] == Severity.ERROR for report in found for kind in report["kinds"]):
        raise typer.Exit(1)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[current_check]}", markup=False), console=console, transient=True,
    )  # fmt: skip


def _local_reports(subjects: Sequence[str], progress: Progress) -> Iterator[Report]:
    with database() as engine:
        for subject in subjects:
            yield _local_report(engine, subject, progress)


def _local_report(engine: Engine, subject: str, progress: Progress) -> Report:
    bar = progress.add_task(subject, total=None, current_check="")

    def watch(number: int, count: int, check: Check) -> None:
        progress.update(bar, completed=number, total=count, current_check=f"{check.entity.name}: {check.says}")

    scope: AbstractContextManager[Any] = session_scope(engine)
    with scope as session:
        set_statement_timeout(session, CHECK_SECONDS)
        report = report_of(session, subject, severities(load_settings()), watch)
    progress.remove_task(bar)
    document = msgspec.to_builtins(report)
    return {"timestamp": document.pop("made_at"), **document}


def _remote_reports(api: Remote, subjects: Sequence[str], progress: Progress) -> Iterator[Report]:
    for subject in subjects:
        answer = api.post(f"/data-validation/{subject}?limit={MOST_NAMED}")
        yield _with_kinds(answer) if "issues" in answer else _awaited(api, answer, progress)


def _awaited(api: Remote, shown: Report, progress: Progress) -> Report:
    """The report once its background work has ended. Raises ReportFailedError."""
    bar = progress.add_task(shown["subject"], total=shown["check_count"], current_check="")
    while shown["ended_at"] is None:
        time.sleep(LOOK_SECONDS)
        shown = api.get(f"/data-validation/reports/{shown['id']}")
        progress.update(bar, completed=shown["checked_count"], current_check=shown["current_check"] or "")
    progress.remove_task(bar)
    if not shown.get("report"):
        raise ReportFailedError(f"The report of {shown['subject']} could not be made: {shown['error']}")
    return dict(shown["report"])


def _with_kinds(report: Report) -> Report:
    """The report with its kinds, counted among the issues it names."""
    kinds: dict[tuple[str, str, str], Report] = {}
    for issue in report["issues"]:
        key = issue["severity"], issue["field"], issue["issue"].partition(":")[0]
        kind = kinds.setdefault(key, {**issue, "rule": key[2], "count": 0})
        kind["count"] += 1
    return {**report, "kinds": list(kinds.values())}


def _show(reports: Sequence[Report], console: Console) -> None:
    say_table(
        "Validation", ("what", "records", "valid", "invalid", "rate", "errors", "warnings"),
        map(_summary, reports), console=console,
    )  # fmt: skip
    for report in reports:
        if report["issues"]:
            console.print()
            _show_issues(report, console)
    if len(reports) > 1:
        console.print(f"\nBeyond single entities: tds validate {INTEGRITY}, tds validate {ORPHANS}")


def _summary(report: Report) -> tuple[Any, ...]:
    counts = report["statistics"]
    errors, warnings = (
        sum(kind["count"] for kind in report["kinds"] if kind["severity"] == severity)
        for severity in (Severity.ERROR, Severity.WARNING)
    )
    return (report["entity_type"], counts["total_records"], counts["valid_records"], counts["invalid_records"],
            f"{counts['validation_rate']:.2f} %", errors, warnings)  # fmt: skip


def _show_issues(report: Report, console: Console) -> None:
    total = sum(kind["count"] for kind in report["kinds"])
    shown = len(report["issues"])
    title = f"{report['entity_type']}: {total:,} issue{'s' if total != 1 else ''}" + (
        f", the worst {shown:,}" if shown < total else ""
    )
    columns = ("record", "severity", "field", "issue", "value")
    keys = ("entity_id", "severity", "field", "issue", "current_value")
    say_table(title, columns, [[issue[key] for key in keys] for issue in report["issues"]], console=console)
    console.print()
    rows = [(each["field"], each["severity"], each["rule"], each["count"], each["recommendation"])
            for each in report["kinds"]]  # fmt: skip
    say_table("Next steps", ("field", "severity", "rule", "count", "next, for the first of them"), rows,
              console=console)  # fmt: skip
