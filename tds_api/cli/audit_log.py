"""`tds audit log`: shows changes of records and actions of operators together, the newest first."""

from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import entity_named, read_moment, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.explain.audit_log import AuditFilter, Kind, entries
from tds_core.pagination import Row

_COLUMNS = ("when", "kind", "who or by what", "what", "entity", "id", "outcome or version", "correlation id")


def log(  # noqa: PLR0917 (options, which are given by name)
    kind: Annotated[Kind | None, typer.Option(help="Only changes, or only actions.")] = None,
    entity: Annotated[str, typer.Option(help="Only this entity.")] = "",
    source_id: Annotated[str, typer.Option("--id", help="Only this record.")] = "",
    operator: Annotated[str, typer.Option("--by", help="Only actions of this operator, key:PREFIX or token.")] = "",
    since: Annotated[str, typer.Option("--since", "--from", metavar="WHEN", help="Since: a time, or 2h, 3d.")] = "",
    until: Annotated[str, typer.Option("--until", "--to", metavar="WHEN", help="Before then.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show which records changed and what callers did, in one list; `tds audit actions` has the actions alone."""
    if entity:
        entity_named(entity)
    times = {"since": read_moment(since), "until": read_moment(until)}
    filters = {"entity": entity or None, "source_id": source_id or None, "caller": operator or None}
    rows: list[Row]
    if api := remote():
        spelled = {name: at.isoformat() for name, at in times.items() if at}
        rows = api.page("/audit", limit=limit, kind=kind and kind.value, **filters, **spelled)
    else:
        with transaction() as session:
            rows = entries(session, AuditFilter(kind=kind, **filters, **times), limit=limit).items
    if as_json:
        say_json(rows)
    else:
        say_table("Audit log", _COLUMNS, map(_row, rows), console=terminal())


def _row(row: Row) -> tuple[Any, ...]:
    if row["kind"] == Kind.CHANGE:
        ids, who, end = row["source_id"], row["origin"], f"version {row['version']}"
    else:
        ids, who, end = ", ".join((row["source_ids"] or [])[:5]), row["caller"], row["outcome"]
    return (
        row["recorded_at"], str(row["kind"]), who, row["operation"], row["entity"], ids, end, row["correlation_id"],
    )  # fmt: skip
