"""`tds doctor`: checks the whole set-up, and prints how to mend what is wrong."""

import dataclasses
from collections.abc import Iterator

import typer
from rich.markup import escape

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.common.output import say_json, table_of, terminal
from tds_api.cli.doctor_checks.broker import broker
from tds_api.cli.doctor_checks.foreign_organization_rows import one_organization
from tds_api.cli.doctor_checks.machine import disk, memory, packages, ports, python, secrets
from tds_api.cli.doctor_checks.postgres import postgres
from tds_api.cli.doctor_checks.redis_server import redis_server
from tds_api.cli.doctor_checks.result import CheckResult, wrong
from tds_api.cli.doctor_checks.zoho import connection_result, settings_for_zoho, signatures, ways, webhooks
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import ConfigError
from tds_core.health.health import HealthState


def run_checks(settings: Settings, *, asks_zoho: bool = True) -> Iterator[CheckResult]:
    """Run every check in the order a person would make them; with `asks_zoho` also those that cost calls to Zoho."""
    yield python()
    yield packages()
    yield memory()
    yield disk(settings)
    yield from postgres(settings)
    yield from redis_server(settings)
    yield from broker(settings)
    yield from ports(settings)
    yield secrets(settings)
    yield signatures(settings)
    complete = settings_for_zoho(settings)
    yield complete
    if complete.is_ok:
        yield from one_organization(settings)
        yield from ways(settings)
        result = connection_result(settings)
        yield result
        if result.is_ok and asks_zoho:
            yield webhooks(settings)


_MARKS = {
    HealthState.OK: "[green]ok[/]",
    HealthState.WARNING: "[yellow]warning[/]",
    HealthState.CRITICAL: "[bold red]problem[/]",
}


def doctor(
    as_json: bool = typer.Option(False, "--json", help="For programs."),
    offline: bool = typer.Option(False, "--offline", help="Make no calls that count against Zoho's quota."),
) -> None:
    """Check the set-up and say how to mend it; exit code 1 when something is wrong, 0 when there are warnings only."""
    results = _check_all(offline=offline)
    if as_json:
        say_json([{**dataclasses.asdict(each), "is_ok": each.is_ok} for each in results])
    else:
        _show(results)
    if any(each.state is HealthState.CRITICAL for each in results):
        raise typer.Exit(1)


def _check_all(*, offline: bool) -> list[CheckResult]:
    try:
        settings = load_settings()
    except ConfigError as error:
        return [python(), wrong("Settings", "wrong", str(error))]
    quiet_breakers(settings)  # the checks must not log between the lines of the table
    return list(run_checks(settings, asks_zoho=not offline))


def _show(results: list[CheckResult]) -> None:
    table = table_of("", "check", "found")
    for each in results:
        mend = f"\n[yellow]{escape(each.mend)}[/]" if each.mend else ""
        table.add_row(_MARKS[each.state], each.check, escape(each.says) + mend)
    console = terminal()
    console.print(table)
    console.print("[dim]This was the set-up; how TDS does: tds health[/]")
