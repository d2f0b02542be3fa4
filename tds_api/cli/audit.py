"""`tds audit`: seals the history and verifies its seals; `tds audit actions` shows the action log."""

import time
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from sqlalchemy import Engine

from tds_api.cli.common.database import database, transaction
from tds_api.cli.common.output import cell, moment, read_moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.audit_trail import rolling_verification
from tds_core.audit_trail import seal as audit_seal
from tds_core.audit_trail import verify as audit_verify
from tds_core.audit_trail.chain import Seal
from tds_core.audit_trail.seal_keys import configured_keys, seal_key
from tds_core.audit_trail.tamper_report import VerificationReport
from tds_core.auth import action_log as core
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import ConfigError
from tds_core.queue.items import database_clock
from tds_models.db import session_scope

_COLUMNS = ("when", "who", "as", "what", "on", "outcome", "why", "from")


def actions(  # noqa: PLR0917 (options, which are given by name)
    caller: str = typer.Option("", "--by", help="Only of this operator, key:PREFIX, token or account."),
    operation: str = typer.Option("", help="Only this, for example runs.approve."),
    outcome: str = typer.Option("", help="Only done, refused, failed or begun."),
    since: str = typer.Option("", metavar="WHEN", help="Only since then: a date, a time, or 2h, 3d."),
    limit: int = typer.Option(50, min=1, max=500, help="So many."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show what callers did over HTTP and by command, the newest first; refused changes too, reads not."""
    begins_at = read_moment(since)
    filters: dict[str, Any] = {"caller": caller, "operation": operation, "outcome": outcome}
    if api := remote():
        rows = api.page(
            "/audit", kind="action", limit=limit, since=begins_at.isoformat() if begins_at else None, **filters
        )
    else:
        set_filters = {name: value or None for name, value in filters.items()}
        with transaction() as session:
            rows = core.actions(session, limit=limit, since=begins_at, **set_filters).items
    if as_json:
        say_json(rows)
    else:
        say_table("Actions", _COLUMNS, map(_row, rows), console=terminal())


def _row(row: core.OperatorActionRow) -> tuple[Any, ...]:
    return (
        row["recorded_at"], row["caller"], row["role"], row["operation"], row["subject"],
        row["outcome"], row["error"], row["remote_address"],
    )  # fmt: skip


audit = typer.Typer(help="Prove that nobody changed the history; seal it.", no_args_is_help=True)

LOOK_SECONDS = 0.2


@audit.command()
def verify(
    since: str = typer.Option("", metavar="WHEN", help="Only rows sealed since: a date, a time, or 2h, 3d."),
    head: str = typer.Option("", metavar="NUMBER:DIGEST", help="An end of the chain you kept: it must be in there."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Hold the whole history against its seals, and name every row or seal that was edited, deleted or inserted.

    Exit code 1: the history was changed.
    """
    settings, began = load_settings(), time.monotonic()
    with database(settings) as engine:
        report = _verified(engine, settings, since)
        lacks_head = _lacks(engine, head)
        if not since:
            _store(engine, report)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        say_json({"is_intact": not report.break_count and not lacks_head, "head_is_known": not lacks_head,
                  "duration_seconds": seconds, "proof": report})  # fmt: skip
    else:
        _show(report, terminal(), seconds)
        if lacks_head:
            say(f"The chain has no seal {head[:80]}: its end was cut off and made anew.")
    if report.break_count or lacks_head:
        raise typer.Exit(1)


@audit.command()
def seal(
    wait_seconds: float = typer.Option(30.0, "--wait", min=0, help="So many seconds for writers to end."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Seal every change that is committed, as the timetable does each minute. Exit code 1: some had to be left."""
    settings, until = load_settings(), time.monotonic() + wait_seconds
    seals: list[Seal] = []
    with database(settings) as engine:
        while True:
            with session_scope(engine) as session:
                result = audit_seal.seal(session, seal_key(session, settings))
            seals += result.seals
            if not result.more and (not result.waits or time.monotonic() > until):
                break
            time.sleep(0 if result.more else LOOK_SECONDS)
    last = f"{seals[-1].number}:{seals[-1].digest.hex()}" if seals else None
    row_count = sum(each.row_count for each in seals)
    if as_json:
        say_json({"row_count": row_count, "seal_count": len(seals), "head": last, "waits": result.waits})
    else:
        say(f"{row_count:,} rows sealed." + (f" The chain ends with {last}" if last else ""))
        if result.waits:
            say("Some rows wait for transactions that still write; they are sealed with the next round.")
    if result.waits:
        raise typer.Exit(1)


def _verified(engine: Engine, settings: Settings, since: str) -> VerificationReport:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=terminal(stderr=True), transient=True) as bar,
        session_scope(engine) as reading,
    ):
        keys = configured_keys(reading, settings)
        shown = bar.add_task("Rows held against their seals", total=None)
        with session_scope(engine) as session:
            return audit_verify.verify_history(
                session,
                keys,
                since=read_moment(since),
                progress=lambda done, total: bar.update(shown, completed=done, total=total),
            )


def _store(engine: Engine, report: VerificationReport) -> None:
    """Let alerts know what a verification of the whole history found."""
    with session_scope(engine) as session:
        progress = rolling_verification.whole_round(report, database_clock(session))
        rolling_verification.store_progress(session, progress)


def _lacks(engine: Engine, head: str) -> bool:
    """Whether the chain lacks the seal of this number and digest."""
    if not head:
        return False
    number, _, digest = head.partition(":")
    if not (number.isdecimal() and digest):
        raise ConfigError(
            "A head is written NUMBER:DIGEST, as `tds audit seal` and the log event audit_sealed print it."
        )
    with session_scope(engine) as session:
        return not audit_verify.has_seal(session, int(number), digest)


def _show(report: VerificationReport, console: Console, seconds: float) -> None:
    console.print(f"{report.seal_count:,} seals and {report.row_count:,} rows looked at in {seconds:,.1f} s.")
    for restart in report.restarts:
        at = moment(restart.at)
        console.print(
            f"The chain was begun anew with seal {restart.number:,} at {at}, by {restart.note}.", markup=False
        )
    if report.unproven_seal_count:
        count = f"{report.unproven_seal_count:,} seals before that were made with a lost key and prove nothing"
        console.print(f"[yellow]{count}: their rows are vouched for as they stood when it was begun anew.[/]")
    _show_erasures(report, console)
    for table, upto in report.retired.items():
        console.print(f"{table}: rows up to {upto:,} were retired on purpose (TDS_AUDIT_DAYS).", markup=False)
    for each in report.unsealed:
        if each.row_count:
            since = cell(each.oldest_at)
            console.print(f"{each.trail}: {each.row_count:,} rows are not sealed yet, the oldest from {since}.")
    if not report.break_count:
        since = " since the chain was begun anew" if report.restarts else ""
        console.print(f"[green]Nothing was edited, deleted or inserted{since}.[/]")
        return
    console.print()
    rows: Sequence[tuple[str, str]] = [(each.kind.value, each.says) for each in report.breaks]
    say_table(f"{report.break_count:,} places where the history was changed", ("what", "where"), rows, console=console)


def _show_erasures(report: VerificationReport, console: Console) -> None:
    for erasure in report.erasures:
        at = moment(erasure.at)
        console.print(f"A person was erased, seal {erasure.number:,} at {at}: {erasure.note}", markup=False)
    if report.erased_row_count:
        console.print(f"{report.erased_row_count:,} rows stand as seals of erasures say.")
