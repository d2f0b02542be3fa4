"""`tds audit`: seals the history, and proves that nobody changed it."""

import time
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from sqlalchemy import Engine

from tds_api.cli.database import database
from tds_api.cli.moments import read_moment
from tds_api.cli.output import cell, say, say_json, say_table, terminal
from tds_core.config import Settings, load_settings
from tds_core.errors import ConfigError
from tds_core.trail import proving, sealing
from tds_core.trail.breaks import Proof
from tds_core.trail.chain import Seal
from tds_core.trail.setup import known_keys, seal_key
from tds_models.db import session_scope

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
        proof = _proven(engine, settings, since)
        forgotten = _lacks(engine, head)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        say_json({"is_intact": not proof.break_count and not forgotten, "head_is_known": not forgotten,
                  "duration_seconds": seconds, "proof": proof})  # fmt: skip
    else:
        _show(proof, terminal(), seconds)
        if forgotten:
            say(f"The chain has no seal {head[:80]}: its end was cut off and made anew.")
    if proof.break_count or forgotten:
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
                sealed = sealing.seal(session, seal_key(session, settings))
            seals += sealed.seals
            if not sealed.more and (not sealed.waits or time.monotonic() > until):
                break
            time.sleep(0 if sealed.more else LOOK_SECONDS)
    last = f"{seals[-1].number}:{seals[-1].digest.hex()}" if seals else None
    row_count = sum(each.row_count for each in seals)
    if as_json:
        say_json({"row_count": row_count, "seal_count": len(seals), "head": last, "waits": sealed.waits})
    else:
        say(f"{row_count:,} rows sealed." + (f" The chain ends with {last}" if last else ""))
        if sealed.waits:
            say("Some rows wait for transactions that still write; they are sealed with the next round.")
    if sealed.waits:
        raise typer.Exit(1)


def _proven(engine: Engine, settings: Settings, since: str) -> Proof:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=terminal(stderr=True), transient=True) as progress,
        session_scope(engine) as reading,
    ):
        keys = known_keys(reading, settings)
        shown = progress.add_task("Rows held against their seals", total=None)
        with session_scope(engine) as session:
            return proving.prove(
                session,
                keys,
                since=read_moment(since),
                told=lambda done, total: progress.update(shown, completed=done, total=total),
            )


def _lacks(engine: Engine, head: str) -> bool:
    """Whether the chain no longer has a seal somebody kept the number and digest of."""
    if not head:
        return False
    number, _, digest = head.partition(":")
    if not (number.isdecimal() and digest):
        raise ConfigError("A head is written NUMBER:DIGEST, as `tds audit seal` and the log's audit_sealed say it.")
    with session_scope(engine) as session:
        return not proving.has(session, int(number), digest)


def _show(proof: Proof, console: Console, seconds: float) -> None:
    console.print(f"{proof.seal_count:,} seals and {proof.row_count:,} rows looked at in {seconds:,.1f} s.")
    for table, upto in proof.retired.items():
        console.print(f"{table}: rows up to {upto:,} were retired on purpose (TDS_AUDIT_DAYS).", markup=False)
    for each in proof.unsealed:
        if each.row_count:
            since = cell(each.oldest_at)
            console.print(f"{each.trail}: {each.row_count:,} rows are not sealed yet, the oldest from {since}.")
    if not proof.break_count:
        console.print("[green]Nothing was edited, deleted or inserted.[/]")
        return
    console.print()
    rows: Sequence[tuple[str, str]] = [(each.kind.value, each.says) for each in proof.breaks]
    say_table(f"{proof.break_count:,} places where the history was changed", ("what", "where"), rows, console=console)
