"""`tds erase person`: shows what TDS has of a person, and erases it from rows, history, events and logs."""

from functools import partial
from getpass import getuser
from typing import Annotated, Any

import msgspec
import typer

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_api.cli.manual_deletion import zoho_source
from tds_core.audit_trail.seal_keys import seal_key
from tds_core.config.settings import Settings, load_settings
from tds_core.erasure import erase as core
from tds_core.erasure.erase import ErasureReport
from tds_core.erasure.person import PersonKey, find_by_email
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging
from tds_models.db import session_scope

erase = typer.Typer(help="Erase a person on request.", no_args_is_help=True)

_COLUMNS = ("table", "of", "rows", "ids")


@erase.command()
def person(  # noqa: PLR0917 (options, which are given by name)
    entity: Annotated[str, typer.Option(help="customer, vendor or user.")] = "",
    source_id: Annotated[str, typer.Option("--id", help="Zoho's id of the record.")] = "",
    email: Annotated[str, typer.Option(help="Find the record by this address instead.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Erase; without it only shown.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the sealed note; it must name nobody.")] = "",
    although_zoho_has_it: Annotated[
        bool, typer.Option("--although-zoho-has-it", help="Do not ask Zoho; its next change brings it back.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what TDS has of a person; with --yes and a reason erase it and seal a note of that. Cannot be undone."""
    if bool(email) == bool(source_id) or (source_id and not entity):
        raise ConfigError("Name the person: --entity customer --id 460000000300001, or --email ann@example.com.")
    if yes and len(reason.strip()) < 3:
        raise ConfigError('Say why, and name nobody: --reason "request of 3 November, file 12".')
    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    asked = {"reason": reason, "although_zoho_has_it": although_zoho_has_it}
    report = _remote(entity, source_id, email, asked, yes=yes) if remote() else None
    if report is None:
        report = _local(settings, PersonKey(entity, source_id), email, asked, yes=yes)
    if as_json:
        say_json(report)
    else:
        _show(report, is_erased=yes)


def _remote(entity: str, source_id: str, email: str, asked: dict[str, Any], *, yes: bool) -> dict[str, Any]:
    api: Any = remote()
    if email:
        found = api.post("/erasures/find", {"email": email, "entity": entity or None})
        entity, source_id = found["entity"], found["source_id"]
    path = f"/erasures/{entity}/{source_id}"
    shown: dict[str, Any] = api.post(path, asked) if yes else api.get(path)
    return shown


def _local(settings: Settings, key: PersonKey, email: str, asked: dict[str, Any], *, yes: bool) -> dict[str, Any]:
    logs = settings.home / "logs"
    with database(settings) as engine:
        if email:
            with session_scope(engine) as session:
                key = find_by_email(session, email, key.entity or None)
        if not yes:
            with session_scope(engine) as session:
                return _document(core.preview(session, key, logs=logs))
        named = {"entity": key.entity, "source_ids": [key.source_id], "detail": asked}
        with acting_on(engine, "erase.person", key.source_id, **named):
            report = core.erase(
                partial(session_scope, engine), key, seal_key=lambda session: seal_key(session, settings),
                reason=asked["reason"], by=getuser(), logs=logs,
                source=None if asked["although_zoho_has_it"] else zoho_source(engine),
            )  # fmt: skip
        return _document(report)


def _document(report: ErasureReport) -> dict[str, Any]:
    return {**msgspec.to_builtins(report), "row_count": report.row_count}


def _show(report: dict[str, Any], *, is_erased: bool) -> None:
    name = f"{report['entity']} {report['source_id']}"
    rows = [(each["table"], each["entity"], each["row_count"], " ".join(each["ids"][:5])) for each in report["places"]]
    rows += [(file, "logs", count, "") for file, count in report["log_files"].items()]
    say_table(f"{'Erased' if is_erased else 'Would be erased'}: {name}", _COLUMNS, rows, console=terminal())
    say("Not reached:")
    for each in report["out_of_reach"]:
        say(f"- {each}")
    if is_erased:
        say(f"{name} is erased; seal {report['note_number']} says so, by whom and why. Check: tds audit verify")
    elif rows:
        say(f"{report['row_count']:,} rows, {report['document_count']:,} documents. Erase them for good:"
            f" tds erase person --entity {report['entity']} --id {report['source_id']} --yes --reason ...")  # fmt: skip
    else:
        said = f" Seal {report['note_number']} says that it was erased." if report["note_number"] else ""
        say(f"Nothing personal is left of {name}.{said}")
