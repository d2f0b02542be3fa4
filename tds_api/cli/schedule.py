"""`tds schedule`: shows and changes the scheduled jobs while TDS runs."""

from enum import StrEnum
from typing import Annotated

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import cell, moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.errors import TdsError
from tds_core.observability.logging import configure_logging
from tds_core.schedule import operations
from tds_core.schedule.job_store import schedules


class MissedPolicy(StrEnum):
    """What happens to missed slots."""

    ONCE = "once"
    SKIP = "skip"


schedule = typer.Typer(no_args_is_help=True, help="Show and change the timetable.")


@schedule.command("list")
def list_jobs(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show every job, its last slot and how that ended, and when it runs next (UTC)."""
    if api := remote():
        jobs = api.get("/schedules")
    else:
        with transaction() as session:
            jobs = schedules(session)
    if as_json:
        say_json(jobs)
        return
    rows = [
        (
            job["name"], job["cron"], job["missed"], "paused" if job["paused_at"] else job["next_at"],
            job["last_slot_at"],
            job["last_result"] or ("running" if job["last_begun_at"] else "asked for" if job["last_slot_at"] else None),
            job["last_detail"] if job["last_result"] in ("failed", "lost") else None,
        )
        for job in jobs
    ]  # fmt: skip
    columns = ("job", "rhythm", "missed", "next", "last", "result", "why")
    say_table("Timetable (rhythms are in UTC, or in the zone they name)", columns, rows, console=terminal())


@schedule.command()
def pause(name: str = typer.Argument(help="A job, see: tds schedule list")) -> None:
    """Let no slot of a job run until it is resumed."""
    if api := remote():
        api.post(f"/schedules/{name}/pause")
    else:
        with acting("schedules.pause", name) as session:
            operations.pause(session, name)
    say(f"{name} is paused. Go on with: tds schedule resume {name}")


@schedule.command()
def resume(name: str = typer.Argument(help="A job, see: tds schedule list")) -> None:
    """Let a paused job run again; slots that went by meanwhile are not caught up."""
    if api := remote():
        following = api.post(f"/schedules/{name}/resume")["next_at"]
    else:
        with acting("schedules.resume", name) as session:
            operations.resume(session, name)
            following = {job["name"]: job["next_at"] for job in schedules(session)}[name]
    say(f"{name} runs next at {moment(following)}.")


@schedule.command("set")
def set_rhythm(
    name: str = typer.Argument(help="A job, see: tds schedule list"),
    rhythm: str = typer.Argument(
        help="Five cron fields in UTC, or with a zone behind them (Asia/Baghdad), quoted; or every:SECONDS."
    ),
) -> None:
    """Give a job another rhythm, at once and without a restart."""
    if api := remote():
        following = api.change("PUT", f"/schedules/{name}", {"cron": rhythm})["next_at"]
    else:
        with acting("schedules.set", name, detail={"cron": rhythm}) as session:
            following = operations.set_rhythm(session, name, rhythm)
    say(f"{name} runs next at {moment(following)}.")


@schedule.command()
def missed(
    name: Annotated[str, typer.Argument(help="A job, see: tds schedule list")],
    policy: Annotated[MissedPolicy, typer.Argument(help="once: caught up once; skip: left out.")],
) -> None:
    """Say what happens to the slots a job missed while nothing ran."""
    if api := remote():
        api.change("PUT", f"/schedules/{name}", {"missed": policy.value})
    else:
        with acting("schedules.missed", name, detail={"missed": policy.value}) as session:
            operations.set_missed(session, name, policy.value)
    say(f"{name}: slots that are missed are {'caught up once' if policy is MissedPolicy.ONCE else 'left out'}.")


@schedule.command()
def run(name: str = typer.Argument(help="A job, see: tds schedule list")) -> None:
    """Run a job now, in this process, whatever its rhythm; exit code 1 when it fails. Elsewhere: ask for it."""
    if api := remote():
        api.post(f"/schedules/{name}/run")
        say(f"{name} is asked for. See how it ends: tds schedule list")
        return
    # Celery comes with this one; the other commands start half a second sooner without it.
    from tds_tasks.schedule import run_slot  # noqa: PLC0415

    configure_logging(load_settings().replace("command line", log_level="WARNING"), process="cli")
    with acting("schedules.run", name) as session:
        slot = operations.claim_now(session, name)
    run_slot(slot)
    with transaction() as session:
        job = {job["name"]: job for job in schedules(session)}[name]
    if job["last_result"] != "completed":
        raise JobFailedError(f"{name}: {job['last_detail']}")
    say(f"{name} completed: {cell(job['last_detail'])}")


class JobFailedError(TdsError):
    """A scheduled job failed; its slot has the detail."""

    code = "job_failed"
