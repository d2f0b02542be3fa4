"""`tds delete` and `tds zoho foreign-rows`: mark rows deleted by hand, after a look at what they are."""

import uuid
from functools import partial
from getpass import getuser
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.output import entity_named, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.sources.base import Source
from tds_core.sources.registry import open_source
from tds_core.sync import manual_deletion
from tds_core.sync.foreign_organization_rows import ForeignRows, foreign_rows
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

_COLUMNS = ("entity", "organisation", "rows")


def delete(
    entity: Annotated[str, typer.Argument(help="An entity, for example invoice.")],
    source_id: Annotated[str, typer.Argument(metavar="ID", help="Zoho's id of the record.")],
    reason: Annotated[str, typer.Option(help="Why, for the record of actions.")],
    confirmed_gone: Annotated[
        bool, typer.Option("--confirmed-gone", help="You know that Zoho no longer has it: Zoho is not asked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Mark a row deleted, if Zoho answers that it has no such record. Undone when Zoho shows it again."""
    declared = entity_named(entity)
    if len(reason.strip()) < 3:
        raise ConfigError('Say why, for example: --reason "deleted in Zoho, seen by Ann".')
    if api := remote():
        body = {"reason": reason, "confirmed_gone": confirmed_gone}
        marked = api.post(f"/entities/{entity}/{source_id}/delete", body)
    else:
        with database() as engine:
            detail = {"reason": reason, "confirmed_gone": confirmed_gone}
            with acting_on(engine, "delete", source_id, entity=entity, source_ids=[source_id], detail=detail):
                outcome = manual_deletion.mark_deleted(
                    partial(session_scope, engine), declared, source_id, reason=reason, by=getuser(),
                    correlation_id=str(uuid.uuid4()), source=None if confirmed_gone else zoho_source(engine),
                )  # fmt: skip
        marked = {"entity": entity, "source_id": source_id, "outcome": outcome.value}
    if as_json:
        say_json(marked)
    else:
        is_new = marked["outcome"] == "deleted"
        say(f"{entity} {source_id} {'is marked deleted' if is_new else 'was deleted before'}. Its story: tds explain"
            f" {entity} {source_id}")  # fmt: skip


def zoho_source(engine: Engine) -> Any:
    """Opens the source of a name, for a command."""
    settings = load_settings()
    breakers = quiet_breakers(settings)

    def source(name: str) -> Source:
        return open_source(name, settings, partial(session_scope, engine), breakers)

    return source


def foreign(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Mark them deleted, without asking.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record of actions.")] = "of another organisation",
    as_json: Annotated[bool, typer.Option("--json", help="For programs; needs --yes to remove.")] = False,
) -> None:
    """Show living rows that name another organisation than the mirrored one, and mark them deleted with --yes."""
    if api := remote():
        shown = api.get("/foreign-rows")
    else:
        with database() as engine, session_scope(engine) as session:
            shown = [_document(each) for each in foreign_rows(session)]
    if not as_json:
        rows = [(each["entity"], each["organization_id"], each["row_count"]) for each in shown]
        say_table("Rows of another organisation", _COLUMNS, rows, console=terminal())
    if not shown or not yes:
        if as_json:
            say_json(shown)
        elif shown:
            say("Mark them deleted: tds zoho foreign-rows --yes")
        return
    removed = _remove(shown, reason)
    if as_json:
        say_json({"removed_count": removed})
    else:
        say(f"{removed:,} rows are marked deleted; the history has them.")


def _remove(shown: list[dict[str, Any]], reason: str) -> int:
    if api := remote():
        removed = 0
        while shown:
            result = api.post("/foreign-rows/remove", {"rows": shown, "reason": reason})
            removed, shown = removed + result["removed_count"], result["left"]
        return removed
    with database() as engine, acting_on(engine, "zoho.foreign_rows", detail={"reason": reason}):
        return sum(
            manual_deletion.remove_foreign_rows(
                partial(session_scope, engine), ENTITIES[each["entity"]], each["organization_id"], by=getuser(),
                correlation_id=str(uuid.uuid4()), most=each["row_count"],
            )
            for each in shown
        )  # fmt: skip


def _document(rows: ForeignRows) -> dict[str, Any]:
    return {"entity": rows.entity, "organization_id": rows.organization_id, "row_count": rows.row_count}
