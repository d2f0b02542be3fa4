"""`tds zoho webhooks recent` and `rejected`: lists webhooks that were received, by verdict, and refused deliveries."""

from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import entity_named, read_moment, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.errors import ConfigError
from tds_core.inbox import queries
from tds_models.inbox import Verdict

VERDICTS = (queries.OPEN, *map(str, Verdict))
_EVENT_COLUMNS = ("event", "received", "entity", "id", "what", "verdict", "why", "again", "correlation id")
_REJECTED_COLUMNS = ("number", "received", "reason", "detail", "entity", "id", "from", "bytes", "path")

Since = Annotated[str, typer.Option("--since", "--from", metavar="WHEN", help="Received since: a time, or 2h, 3d.")]
Until = Annotated[str, typer.Option("--until", "--to", metavar="WHEN", help="Received before then.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="So many.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def recent(  # noqa: PLR0917 (options, which are given by name)
    verdict: Annotated[str, typer.Option(help=f"Only {', '.join(VERDICTS)}.")] = "",
    entity: Annotated[str, typer.Option(help="Only this entity.")] = "",
    source_id: Annotated[str, typer.Option("--id", help="Only this record.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List webhooks with where they ended, the newest first. `tds replay NUMBER` takes one in again."""
    if entity:
        entity_named(entity)
    if verdict and verdict not in VERDICTS:
        raise ConfigError(f"No verdict is called {verdict[:40]!r}. Verdicts: {', '.join(VERDICTS)}.")
    filters = {"verdict": verdict, "entity": entity, "source_id": source_id}
    rows = _rows("/zoho/webhooks/recent", queries.recent_events, filters, since=since, until=until, limit=limit)
    if as_json:
        say_json(rows)
    else:
        say_table("Webhooks received", _EVENT_COLUMNS, map(_event_row, rows), console=terminal())


def rejected(  # noqa: PLR0917 (options, which are given by name)
    reason: Annotated[str, typer.Option(help="Only this reason, for example signature_wrong.")] = "",
    entity: Annotated[str, typer.Option(help="Only what claims to be about this entity.")] = "",
    source_id: Annotated[str, typer.Option("--id", help="Only what claims to be about this record.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries that were refused, with the reason, the newest first."""
    filters = {"reason": reason, "entity": entity, "source_id": source_id}
    rows = _rows("/zoho/webhooks/rejected", queries.rejected_deliveries, filters, since=since, until=until, limit=limit)
    if as_json:
        say_json(rows)
    else:
        say_table("Deliveries refused", _REJECTED_COLUMNS, map(_rejected_row, rows), console=terminal())


def _rows(path: str, query: Any, filters: dict[str, str], *, since: str, until: str, limit: int) -> list[Any]:
    """The rows of a list, of the remote TDS or of the database."""
    times = {"since": read_moment(since), "until": read_moment(until)}
    if api := remote():
        spelled = {name: at.isoformat() for name, at in times.items() if at}
        return api.page(path, limit=limit, **filters, **spelled)
    with transaction() as session:
        found: list[Any] = query(
            session, limit=limit, **times, **{name: value or None for name, value in filters.items()}
        ).items
    return found


def _event_row(row: queries.EventRow) -> tuple[Any, ...]:
    return (
        str(row["id"]), row["received_at"], row["entity"], row["source_id"], row["event"],
        row["verdict"] or queries.OPEN, row["verdict_reason"], row["duplicate_count"] or None, row["correlation_id"],
    )  # fmt: skip


def _rejected_row(row: queries.RejectedDeliveryRow) -> tuple[Any, ...]:
    return (
        str(row["id"]), row["received_at"], row["reason"], row["detail"], row["entity"], row["source_id"],
        row["remote_address"], row["body_size"], row["path"],
    )  # fmt: skip
