"""`tds config`: shows every setting and its source, changes some at run time, prints the reference."""

from getpass import getuser
from itertools import groupby
from typing import Annotated, Any, TypedDict

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.overrides import Override, overrides
from tds_core.config.settings import DECLARATIONS, Settings, load_settings
from tds_core.config.sources import Declaration
from tds_core.configuration import queries, versions
from tds_core.configuration.versions import declaration_of
from tds_core.errors import TdsError
from tds_core.pagination import LARGEST_PAGE
from tds_models.db import session_scope

PATH = "/configuration"
#: How long it takes at most until every process uses a changed value.
WITHIN_SECONDS = 10

Key = Annotated[str, typer.Argument(help="A setting, see: tds config")]
_AS_JSON = typer.Option(False, "--json", help="For programs.")
_REASON = typer.Option("", help="Why; kept with the version.")
_VERSION = typer.Option(help="The version you looked at; refused when another came meanwhile.", min=0)

config_app = typer.Typer(help="Settings: shown, changed while TDS runs, put back; with their history.")


@config_app.callback(invoke_without_command=True)
def shown(
    context: typer.Context,
    as_json: bool = _AS_JSON,
    as_markdown: bool = typer.Option(False, "--markdown", help="The configuration reference, without values."),
) -> None:
    """Show every setting, its value (secrets masked) and where it came from."""
    if context.invoked_subcommand:
        return
    if as_markdown:
        say(reference(), nl=False)
        return
    settings, console = load_settings(), terminal()
    problem = _read_changes(settings)
    if as_json:
        say_json(values_of(settings))
        return
    table = Table(header_style="bold", box=None)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    for variable in DECLARATIONS:
        table.add_row(variable, escape(settings.shown(variable)), settings.source_of(variable))
    console.print(table)
    _show_changes(settings, console, problem)


def _read_changes(settings: Settings) -> str:
    """Read what was changed at run time. Returns why that cannot be known here; empty when it is."""
    if settings.url:
        return f"TDS_URL names {settings.url}: what was changed there is shown by tds config history"
    if not settings.database_url:
        return "no database is known here"
    try:
        with database(settings):
            return ""
    except TdsError as error:
        return str(error)


def _show_changes(settings: Settings, console: Console, problem: str) -> None:
    if problem:
        console.print(f"[yellow]What was changed at run time is not shown: {escape(problem)}[/]", soft_wrap=True)
    for variable, declaration in DECLARATIONS.items():
        if override := overrides.of(variable):
            given = settings.environment_value(declaration)
            console.print(escape(_changed(variable, given, override)), soft_wrap=True)


def _changed(variable: str, given: Any, override: Override) -> str:
    why = f": {override.reason}" if override.reason else ""
    return (
        f"{variable} was changed from {_spelled(given)} to {_spelled(override.value)} by {override.changed_by}"
        f" {moment(override.changed_at)} (version {override.version}){why}"
    )


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "the environment's" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


@config_app.command("set")
def set_value(
    key: Key,
    value: Annotated[str, typer.Argument(help="As the setting takes it: 10, yes, warning.")],
    *,
    reason: str = _REASON,
    version: Annotated[int | None, _VERSION] = None,
    as_json: bool = _AS_JSON,
) -> None:
    """Put a value in force in every process, within seconds and without a restart."""
    _change(key, value, reason, version)
    _say_changed(key, as_json)


@config_app.command()
def unset(
    key: Key, reason: str = _REASON, version: Annotated[int | None, _VERSION] = None, as_json: bool = _AS_JSON
) -> None:
    """Put the environment's value of a setting in force again."""
    _change(key, None, reason, version)
    _say_changed(key, as_json)


def _change(key: str, value: str | None, reason: str, version: int | None) -> None:
    variable = declaration_of(key).variable
    more: dict[str, Any] = {"reason": reason} if reason else {}
    if version is not None:
        more["version"] = version
    if api := remote():
        api.change("PUT", f"{PATH}/{variable}", {"value": value, **more})
        return
    detail = {"value": value, **more}
    log = (
        acting("config.unset", variable, detail=detail)
        if value is None
        else acting("config.set", variable, detail=detail)
    )
    with log as session:
        versions.change(session, variable, value, by=getuser(), reason=reason or None, seen_version=version)


def _say_changed(key: str, as_json: bool) -> None:
    story = _story(declaration_of(key).variable)
    if as_json:
        say_json(story)
        return
    value = _spelled(story["value"])
    by = "" if story["source"] == "changed" else ", as the environment has it"
    say(f"{story['key']} is {value}{by}, version {story['version']}; in force everywhere within {WITHIN_SECONDS} s.")
    say(f"What it was before: tds config history {story['key']}")


def _story(variable: str) -> Any:
    if api := remote():
        return api.get(f"{PATH}/{variable}")
    settings = load_settings()
    with database(settings) as engine, session_scope(engine) as session:
        return queries.setting_story(session, settings, variable)


@config_app.command()
def history(
    key: Annotated[str, typer.Argument(help="Of one setting; without it of all.")] = "",
    limit: int = typer.Option(50, min=1, max=LARGEST_PAGE, help="So many versions."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show what was changed at run time, by whom and why, the newest first."""
    variable = declaration_of(key).variable if key else None
    if api := remote():
        rows: Any = api.page(f"{PATH}/history", limit=limit, key=variable)
    else:
        with database() as engine, session_scope(engine) as session:
            rows = versions.history(session, key=variable, limit=limit).items
    if as_json:
        say_json(rows)
        return
    columns = ("when", "setting", "version", "from", "to", "by", "why")
    cells = [
        (moment(each["changed_at"]), each["key"], each["version"], _spelled(each["value_before"]),
         _spelled(each["value"]), each["changed_by"], each["reason"])
        for each in rows
    ]  # fmt: skip
    say_table("Changes at run time, the newest first", columns, cells, console=terminal())


class SettingValue(TypedDict):
    """A setting's printable value, and the place it comes from."""

    value: str
    source: str


def values_of(settings: Settings) -> dict[str, SettingValue]:
    """The value of each setting, by its name."""
    return {name: {"value": settings.shown(name), "source": settings.source_of(name)} for name in DECLARATIONS}


def reference() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Made by `tds config --markdown` from the declarations in `tds_core/config/settings.py`.",
        "",
        "A value comes from the first place that has one: the environment, the file `.env` of the working directory,",
        "a stack that runs in `TDS_HOME`, then `TDS_HOME/secrets.json`. A variable with `_FILE` appended names a file",
        "that holds the value. Empty means unset. `tds config` shows the values in force, `tds doctor` tries them.",
        "",
        '**Changed while TDS runs.** What has a yes under "at run time" can be changed without a deployment and',
        'without a restart: `tds config set TDS_GUARD_PERCENT 10 --reason "new price list"`, or `PUT',
        "/api/tds/configuration/<key>` as an administrator. The API, the dispatcher and every worker use the new",
        "value within 10 seconds; while PostgreSQL is away the last known one stays in force. The environment gives",
        "the value until it is changed, and again after `tds config unset KEY`. Each change is a row of",
        "`tds_configuration` with its version, who made it and why, which nothing edits: `tds config history`. A",
        "change that names the version looked at is refused when another came meanwhile. Everything else is read",
        "when a process starts. Slots of the timetable and terms of alert rules have versions of their own: `tds",
        "schedule`, `tds alerts rules`.",
    ]
    for group, declarations in groupby(DECLARATIONS.values(), key=lambda each: each.group):
        lines += [
            "",
            f"## {group}",
            "",
            "| variable | takes | default | at run time | meaning |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(each) for each in declarations]
    return "\n".join(lines) + "\n"


def _row(declaration: Declaration) -> str:
    default = declaration.default
    shown = ("yes" if default else "no") if isinstance(default, bool) else str(default)
    kind = f"{declaration.takes}{' (secret)' if declaration.secret else ''}"
    at_run_time = "yes" if declaration.is_settable else ""
    value = f"`{shown}`" if shown else ""
    return f"| `{declaration.variable}` | {kind} | {value} | {at_run_time} | {declaration.meaning} |"
