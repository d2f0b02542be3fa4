"""`tds find` and `tds rows`: any record by number, SKU, name or id; the rows of an entity by its filters."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import entity_named, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.errors import ConfigError
from tds_core.mirror import row_queries
from tds_core.mirror.search import SearchResult, search
from tds_models.entities.declaration import Entity

_HIT_COLUMNS = ("entity", "id", "called", "deleted")


def find(
    text: str = typer.Argument(help="The beginning of a number, a SKU, a name or an id, in any case."),
    entity: str = typer.Option("", help="Only this entity."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Find any record. `tds explain ENTITY ID` tells its story. Exit code 1: nothing begins so."""
    only = entity_named(entity) if entity else None
    if api := remote():
        result = api.get("/search", q=text, entity=entity)
    else:
        with transaction() as session:
            result = _document(search(session, text, entity=only))
    if as_json:
        say_json(result)
    else:
        rows = [(each["entity"], each["source_id"], each["label"], each["deleted_at"]) for each in result["items"]]
        say_table(f"What begins with {text}", _HIT_COLUMNS, rows, console=terminal())
        if result["has_more"]:
            say("More begin so: write more of it, or give --entity.")
    if not result["items"]:
        raise typer.Exit(1)


def rows(
    entity: str = typer.Argument(help="An entity, for example invoice."),
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="FILTER=VALUE", help="For example status=paid; again: and."),
    ] = None,
    limit: int = typer.Option(50, min=1, max=500, help="So many."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show rows of an entity as the mirror has them, in the order of their ids, by the entity's own filters."""
    declared, filters = entity_named(entity), _filters(where or [])
    if api := remote():
        found: Sequence[Any] = api.page(f"/entities/{entity}", limit=limit, **filters)
    else:
        with transaction() as session:
            found = row_queries.rows(session, declared, limit=limit, where=filters).items
    if as_json:
        say_json(found)
        return
    names = _shown(declared)
    cells = [tuple(row[name] for name in names) for row in found]
    say_table(declared.title, [name.replace("_", " ") for name in names], cells, console=terminal())


def _document(result: SearchResult) -> dict[str, Any]:
    hits = [
        {"entity": each.entity, "source_id": each.source_id, "label": each.label, "matched": each.matched,
         "deleted_at": each.deleted_at}
        for each in result.items
    ]  # fmt: skip
    return {"items": hits, "has_more": result.has_more}


def _filters(given: Sequence[str]) -> dict[str, str]:
    """Filters by name, as `NAME=VALUE` writes them. Raises ConfigError."""
    filters: dict[str, str] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not (name and separator and value):
            raise ConfigError(f"{each[:60]!r} is no filter. Write --where status=active.")
        filters[name] = value
    return filters


def _shown(entity: Entity) -> list[str]:
    """The columns of a table: what identifies a row, what it can be filtered by, and how it stands."""
    return ["source_id", *(field.name for field in entity.filters.values()), "changed_at", "deleted_at"]
