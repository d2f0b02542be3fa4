"""`tds verify`: checks the invariants of the whole history, and compares the mirror with a stand-in."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.orm import Session

from tds_api.cli.common.database import database
from tds_api.cli.common.lab import lab_missing
from tds_api.cli.common.output import say_json, say_table, terminal
from tds_api.cli.doctor_checks.foreign_organization_rows import (
    STRANGERS_MEND,
    UNLISTED_MEND,
    describe_hold,
    describe_strangers,
    describe_unlisted,
    next_step,
)
from tds_core.invariants.verify import InvariantResult
from tds_core.invariants.verify import verify as look
from tds_core.sync.foreign_organization_rows import Hint, hints
from tds_models.db import session_scope

verify = typer.Typer()


@verify.callback(invoke_without_command=True)
def invariants(
    context: typer.Context,
    against: str = typer.Option(
        "", metavar="URL", help="A Zoho stand-in (never Zoho itself: tds compare) whose records the mirror must equal."
    ),
    examples: int = typer.Option(20, min=1, max=1000, help="So many cases of each broken promise are shown."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Check the whole history: every event ended or is owed, nothing twice, nothing backwards, every row its replay.

    Exit code 1: a promise was broken. Whether the mirror equals Zoho: tds compare.
    """
    if context.invoked_subcommand:
        return
    with database() as engine:
        with session_scope(engine) as session:
            findings = look(session, examples=examples)
            hinted = hints(session)
        with session_scope(engine) as session:
            comparison = _compare(session, against) if against else None
    if as_json:
        _show_json(findings, comparison, hinted)
    else:
        show(findings, comparison, terminal())
        show_hints(hinted, terminal())
    if any(each.violation_count for each in findings) or (comparison and comparison.differences):
        raise typer.Exit(1)


class ComparisonResult(Protocol):
    """The result of a comparison with a stand-in."""

    record_count: int
    part_count: int
    differences: Sequence[Any]

    def examples(self) -> Sequence[str]:
        """Some of the differences, in words."""
        ...


def _compare(session: Session, url: str) -> ComparisonResult:
    entry_point = next(iter(entry_points(group="tds.comparisons", name="stand-in")), None)
    if entry_point is None:
        raise lab_missing("`tds verify --against`")
    comparison: ComparisonResult = entry_point.load()(session.connection(), url)
    return comparison


def _show_json(
    findings: Sequence[InvariantResult], comparison: ComparisonResult | None, hinted: Sequence[Hint]
) -> None:
    broken = sum(each.violation_count for each in findings)
    document: dict[str, Any] = {"violation_count": broken, "checks": findings, "other_organization_hints": hinted}
    if comparison:
        document["comparison"] = {
            "record_count": comparison.record_count,
            "part_count": comparison.part_count,
            "difference_count": len(comparison.differences),
            "examples": comparison.examples(),
        }
    say_json(document)


def show(findings: Sequence[InvariantResult], comparison: ComparisonResult | None, console: Console) -> None:
    """Print each invariant with its counts, the violations with examples, and the total."""
    rows = [(each.says, each.looked_at_count, each.violation_count or "none") for each in findings]
    say_table("What the history must show", ("promise", "looked at", "broken"), rows, console=console)
    for finding in findings:
        if finding.violation_count:
            console.print()
            say_table(
                f"{finding.promise}: {finding.violation_count:,} times not: {finding.says}",
                ("entity", "record", "found", "look at"),
                [(each.entity, each.source_id, each.found, each.look) for each in finding.examples],
                console=console,
            )
    broken = sum(each.violation_count for each in findings)
    console.print(f"\n{'[bold red]' if broken else '[green]'}{broken:,} promises broken.[/]")
    if comparison:
        console.print(
            f"{comparison.record_count:,} records and {comparison.part_count:,} parts compared with the stand-in: "
            f"{len(comparison.differences):,} differences."
        )
        for example in comparison.examples():
            console.print(f"  {example}", markup=False)


def show_hints(hinted: Sequence[Hint], console: Console) -> None:
    """Print rows that may be of another organisation, though no invariant is broken, and what to do."""
    for each in hinted:
        if each.run_id is not None:
            _warn(describe_hold(each), next_step(each.entity, each), console)
        if each.stranger_count:
            _warn(describe_strangers(each), STRANGERS_MEND, console)
    unlisted = [each for each in hinted if each.unlisted_count and each.run_id is None]
    if unlisted:
        _warn(describe_unlisted(unlisted), UNLISTED_MEND, console)


def _warn(says: str, mend: str, console: Console) -> None:
    console.print(f"\n[yellow]{escape(says)}[/]\n{escape(mend)}", soft_wrap=True)
