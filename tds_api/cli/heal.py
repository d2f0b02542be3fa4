"""`tds heal`: runs a healing cycle, shows statistics and the history of actions."""

from contextlib import AbstractContextManager
from getpass import getuser
from typing import Any

import typer
from rich.console import Console
from sqlalchemy.orm import Session

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.common.database import database, transaction
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.output import cell, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.healing import cycle
from tds_core.healing import stats as healing_stats
from tds_core.healing.action_log import Cause, HealingOutcome
from tds_core.healing.context import healing_context
from tds_core.healing.cycle import ACTIONS
from tds_core.healing.stats import ActionStats, CycleDetails, HealingActionRow, HealingStats, RecoveryStats, WorkerRow
from tds_core.observability.logging import configure_logging
from tds_models.db import session_scope

heal = typer.Typer(no_args_is_help=True, help="Put right what goes wrong, and show what was put right.")

MOST = 500
_ACTIONS = ("at", "action", "of", "count", "outcome", "wrong for s", "by", "what")


@heal.command()
def run(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Look at everything that can be healed now, in this process; exit code 1 when an action failed."""
    api = remote()
    cycle_row = api.post("/auto-healing/run") if api else _run_here()
    if as_json:
        say_json(cycle_row)
    else:
        _show_cycle(cycle_row)
    if any(action["outcome"] == HealingOutcome.FAILED for action in cycle_row["actions"]):
        raise typer.Exit(1)


def _run_here() -> CycleDetails:
    # Celery comes with this one; the other commands start half a second sooner without it.
    from tds_tasks import worker_nudges  # noqa: PLC0415
    from tds_tasks.healing_loop import announce  # noqa: PLC0415
    from tds_tasks.worker import lease_holder_liveness  # noqa: PLC0415

    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="CRITICAL"), process="cli")
    worker_nudges.publish_fast()
    with database(settings) as engine:

        def scope() -> AbstractContextManager[Session]:
            return session_scope(engine)

        with acting_on(engine, "heal.run") as session:
            cycle_id = cycle.begin(session, cause=Cause.OPERATOR, by=getuser())
        context = healing_context(
            settings, scope, quiet_breakers(settings), announce=announce, dead=lease_holder_liveness.dead
        )
        cycle.run(context, cycle_id, cause=Cause.OPERATOR)
        with scope() as session:
            return healing_stats.cycle_details(session, cycle_id)


@heal.command()
def stats(
    hours: int = typer.Option(24, min=1, max=2160, help="Of so many hours."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show what each action did, how soon records recovered, and which workers listen."""
    if api := remote():
        figures = api.get("/auto-healing/stats", hours=hours)
    else:
        with transaction() as session:
            figures = healing_stats.healing_stats(session, hours=hours)
    if as_json:
        say_json(figures)
        return
    console = terminal()
    last = figures["last_cycle"]
    last_text = f"the last {cell(last['began_at'])} by {last['requested_by'] or last['cause']}" if last else "none yet"
    console.print(f"[bold]{figures['cycle_count']} cycles[/] in {hours} h, {last_text}")
    columns = ("action", "done", "failed", "told", "success", "was wrong for s", "last")
    say_table("Actions", columns, map(_action_row, figures["actions"]), console=console)
    _show_recovery(figures["recovery"], console)
    _show_listening(figures, console)


@heal.command()
def history(
    action: str = typer.Option("", help="Of this action only; their names: tds heal stats."),
    outcome: HealingOutcome | None = typer.Option(None, help="With this outcome only."),  # noqa: B008 (Typer's way)
    limit: int = typer.Option(50, min=1, max=MOST),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show what was put right or told of, the newest first."""
    names = [each.name for each in ACTIONS]
    if action and action not in names:
        raise ConfigError(f"There is no action {action[:80]!r}: {', '.join(names)}.")
    if api := remote():
        rows = api.page("/auto-healing/history", action=action, outcome=outcome, limit=limit)
    else:
        with transaction() as session:
            rows = healing_stats.history(session, action=action or None, outcome=outcome, limit=limit).items
    if as_json:
        say_json(rows)
        return
    say_table("Healing, the newest first", _ACTIONS, map(_result_row, rows), console=terminal())


def _show_cycle(cycle_row: CycleDetails) -> None:
    rows = [(each.name, cycle_row["counts"].get(each.name, 0), each.meaning) for each in ACTIONS]
    console = terminal()
    shown = [(name, "failed" if count is None else count or "nothing", meaning) for name, count, meaning in rows]
    say_table(f"Cycle {cycle_row['id']}", ("action", "found", "what it does"), shown, console=console)
    if cycle_row["actions"]:
        say_table("What was done", _ACTIONS, map(_result_row, cycle_row["actions"]), console=console)


def _action_row(row: ActionStats) -> tuple[Any, ...]:
    return (
        row["action"], row["done_count"], row["failed_count"], row["reported_count"], _percent(row["success_share"]),
        row["mean_lasted_seconds"], row["last_at"],
    )  # fmt: skip


def _result_row(row: HealingActionRow) -> tuple[Any, ...]:
    what = ", ".join(f"{name}: {value}" for name, value in row["detail"].items())
    about = row["subject"] or row["entity"]
    return (
        row["acted_at"],
        row["action"],
        about,
        row["count"],
        row["outcome"],
        row["lasted_seconds"],
        row["cause"],
        what,
    )


def _show_recovery(figures: RecoveryStats, console: Console) -> None:
    columns = ("failed", "recovered alone", "by a person", "dead letters", "under way", "alone", "mean s", "median s")
    row = (
        figures["troubled_count"], figures["recovered_count"], figures["by_person_count"], figures["dead_count"],
        figures["under_way_count"], _percent(figures["unaided_share"]), figures["mean_seconds"],
        figures["median_seconds"],
    )  # fmt: skip
    say_table("Records", columns, [row], console=console)


def _show_listening(figures: HealingStats, console: Console) -> None:
    workers = [
        (each["name"], each["state"], f"{each['busy_count']} of {each['slot_count']}", each["heard_at"], _why(each))
        for each in figures["workers"]
    ]
    say_table("Workers", ("worker", "state", "busy", "last heard", "why"), workers, console=console)
    queues = [
        (each["queue"], each["heard_at"], each["heard_seconds"], each["unanswered_count"] or None)
        for each in figures["queues"]
    ]
    say_table("Queues", ("queue", "canary heard", "after s", "unheard since"), queues, console=console)


def _why(worker: WorkerRow) -> str | None:
    if not worker["deaf_reason"]:
        return None
    since = "another began since" if worker["is_replaced"] else "nobody started another: start it"
    return f"{worker['deaf_reason']}; {since}"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"
