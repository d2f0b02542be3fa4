"""`tds zoho webhooks`: installs, shows and removes TDS's webhooks and workflow rules in Zoho."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import typer
from rich.markup import escape

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import did
from tds_api.cli.common.output import entity_named, say_json, table_of, terminal
from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import Settings, load_settings
from tds_core.sources.zoho.factory import open_zoho
from tds_core.sources.zoho.webhook_setup.apply import StepResult, WebhookInstaller, check_installable, open_installer
from tds_core.sources.zoho.webhook_setup.plan import PlannedHook, SetupPlan
from tds_core.sources.zoho.webhooks.probe import follow_probe, newest_record, send_probe
from tds_local.programs import local_address
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

webhooks = typer.Typer(no_args_is_help=True, help="The webhooks and workflow rules in Zoho that tell TDS of changes.")

WOULD_DO = "would do"
_DRY_RUN = typer.Option(False, "--dry-run", help="Only show what would be done.")
_JSON = typer.Option(False, "--json", help="For programs.")


@webhooks.command()
def install(dry_run: bool = _DRY_RUN, as_json: bool = _JSON) -> None:
    """Create what is missing and mend what differs; what is right is left alone. Exit code 1 when some of it failed."""
    settings = load_settings()
    check_installable(settings)
    with _webhook_installer(settings) as installer:
        plan = installer.plan(_entities())
        done = _carry_out(installer, plan.to_apply, dry_run=dry_run)
    _record("install", done, dry_run=dry_run)
    _say(plan, done, as_json=as_json, column=WOULD_DO if dry_run else "done")
    if not as_json:
        _advise(settings, plan, done, dry_run=dry_run)
    if plan.lacking or any(each.problem for each in done):
        raise typer.Exit(1)


@webhooks.command()
def status(as_json: bool = _JSON) -> None:
    """Show each webhook with its rule; exit code 1 unless all are installed and active as they should be."""
    settings = load_settings()
    settings.require("TDS_PUBLIC_URL")
    with _webhook_installer(settings) as installer:
        plan = installer.plan(_entities())
    _say(plan, [], as_json=as_json)
    if not plan.is_fulfilled:
        if not as_json:
            terminal().print("Mend it with: tds zoho webhooks install")
        raise typer.Exit(1)


@webhooks.command()
def remove(dry_run: bool = _DRY_RUN, as_json: bool = _JSON) -> None:
    """Delete our webhooks and rules in Zoho, and nobody else's."""
    with _webhook_installer(load_settings()) as installer:
        places = installer.plan(_entities()).to_remove
        done = _carry_out(installer, places, dry_run=dry_run)
    _record("remove", done, dry_run=dry_run)
    _say(SetupPlan(places), done, as_json=as_json, column=WOULD_DO if dry_run else "done")
    if any(each.problem for each in done):
        raise typer.Exit(1)


@webhooks.command("test")
def probe(
    entity: str = typer.Option("product", help="About a record of this entity."),
    record_id: str = typer.Option("", "--id", help="The record; none: the one that changed last."),
    seconds: float = typer.Option(60.0, min=1.0, max=600.0, help="How long to wait for its row."),
    as_json: bool = _JSON,
) -> None:
    """Send one signed webhook through TDS_PUBLIC_URL and follow it to the record's row; exit code 1 where it stops.

    It names a record that exists, which is read again at Zoho: one API call, and nothing untrue is written.
    """
    settings, declared = load_settings(), entity_named(entity)
    console = terminal(stderr=True, quiet=as_json)
    if not settings.public_url:
        console.print("[yellow]TDS_PUBLIC_URL is not set: sent to this machine, which proves nothing of the way.[/]")
    with database(settings) as engine:
        scope = partial(session_scope, engine)
        with scope() as session:
            source_id = record_id or newest_record(session, declared)
        address = settings.public_url or local_address(settings)
        sent = send_probe(declared, source_id, address=address, secret=settings.zoho_webhook_secret)
        console.print(
            f"[green]✓[/] {escape(sent.url)} took it in {sent.answer_seconds * 1000:.0f} ms: event {sent.event_id}"
        )
        outcome = follow_probe(scope, sent.event_id, seconds=seconds, pause=time.sleep)
    if as_json:
        say_json({"entity": declared.name, **dataclasses.asdict(sent), **dataclasses.asdict(outcome)})
    else:
        reason = f" ({escape(outcome.reason)})" if outcome.reason else ""
        mark = "[green]✓[/]" if outcome.is_good else "[red]✗[/]"
        console.print(f"{mark} {outcome.verdict}{reason} after {outcome.seconds:.2f} s")
        console.print(f"Its story: tds explain {declared.name} {escape(source_id)}")
    if not outcome.is_good:
        raise typer.Exit(1)


def _entities() -> list[Any]:
    return list(ENTITIES.values())


@contextlib.contextmanager
def _webhook_installer(settings: Settings) -> Iterator[WebhookInstaller]:
    with database(settings) as engine:
        client = open_zoho(settings, lambda: session_scope(engine), open_breakers(settings))
        yield open_installer(settings, client)


def _carry_out(installer: WebhookInstaller, places: Sequence[PlannedHook], *, dry_run: bool) -> list[StepResult]:
    return [StepResult(place, tuple(place.steps)) if dry_run else installer.apply(place) for place in places]


def _record(verb: str, done: Sequence[StepResult], *, dry_run: bool) -> None:
    """Log what was changed at Zoho."""
    if done and not dry_run:
        failed_count = sum(1 for each in done if each.problem)
        with database() as engine:
            did(engine, f"zoho.webhooks.{verb}", detail={"place_count": len(done), "failed_count": failed_count})


def _rows(plan: SetupPlan, done: Sequence[StepResult]) -> list[dict[str, Any]]:
    """One row for each place and for each event there is no room for."""
    result_of = {each.place.name: each for each in done}
    rows = []
    for place in plan.places:
        hook, result = place.hook, result_of.get(place.name)
        rows.append(
            {
                "name": place.name,
                "entity": hook.entity if hook else None,
                "events": list(hook.events) if hook else [],
                "url": hook.url if hook else place.webhook.url if place.webhook else None,
                "found_url": place.webhook.url if place.webhook else None,
                "state": [str(difference) for difference in place.drifts] or ["installed"],
                "steps": [str(step) for step in result.steps] if result else [],
                "problem": result.problem if result else "",
            }
        )
    for each in plan.lacking:
        rows.append({"name": None, "entity": each.entity, "events": [each.event], "url": None, "found_url": None,
                     "state": ["no room"], "steps": [], "problem": each.says})  # fmt: skip
    return rows


def _say(plan: SetupPlan, done: Sequence[StepResult], *, as_json: bool, column: str = "") -> None:
    """Print the hooks with their state, and under `column` the steps that follow."""
    rows = _rows(plan, done)
    if as_json:
        say_json({"dry_run": column == WOULD_DO, "webhooks": rows})
        return
    console = terminal()
    if not rows:
        console.print("There is nothing of ours in Zoho.")
        return
    table = table_of("webhook and rule", "events", "found", column)
    for row in rows:
        cells = (
            escape(row["name"] or row["entity"]),
            ", ".join(row["events"]),
            _state_cell(row),
            ", ".join(row["steps"]),
        )
        table.add_row(*cells)
    console.print(table)


def _state_cell(row: dict[str, Any]) -> str:
    colour = "green" if row["state"] == ["installed"] else "yellow"
    text = f"[{colour}]{', '.join(row['state'])}[/]"
    if "other URL" in row["state"]:
        text += f"\n[dim]{escape(row['found_url'] or '-')}[/]"
    return f"{text}\n[red]{escape(row['problem'])}[/]" if row["problem"] else text


def _advise(settings: Settings, plan: SetupPlan, done: Sequence[StepResult], *, dry_run: bool) -> None:
    console = terminal()
    if dry_run:
        return
    if not settings.public_url.startswith("https://"):
        console.print("[yellow]TDS_PUBLIC_URL is not https://: what Zoho sends could be read on its way.[/]")
    count = sum(not each.problem for each in done)
    if not plan.to_apply:
        console.print("[green]All is in place; nothing was changed.[/]")
    elif count == len(done):
        console.print(f"[green]{count} mended.[/] Change a record in Zoho, then look: tds stats")
