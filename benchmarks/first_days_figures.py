"""What the first days are judged by, read from the database with plain SQL, and from the stand-in's counts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from tds_core.queue.items import BULK_PRIORITY
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

_OPEN_RUNS = text("select count(*) from tds_sync_runs where state in ('queued', 'running')")
_LISTS = text("select sum(page_count)::int, max(ended_at) from tds_sync_runs where state = 'completed'")
_BULK = text("select count(*) from tds_sync_queue where entity = :entity and priority >= :bulk")
_LATENCY = text("""
select case when complete and event <> 'deleted' then 'whole' else 'read' end, count(*),
       percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from verdict_at - received_at)::float8)
from tds_inbox_events where received_at between :since and :until and verdict_at is not null group by 1
""")
_UNSETTLED = text("select count(*) from tds_inbox_events where verdict is null")


def open_runs(connection: Connection) -> int:
    """Passes that have not ended."""
    return int(connection.execute(_OPEN_RUNS).scalar_one())


def lists_read(connection: Connection) -> tuple[int, datetime]:
    """How many pages the passes read, and when the last of them ended."""
    return tuple(connection.execute(_LISTS).one())  # type: ignore[return-value]


def rows_of(connection: Connection) -> dict[str, int]:
    """Living rows by entity."""
    asked = "select count(*) from {} where deleted_at is null"
    return {e.name: connection.execute(text(asked.format(e.table.fullname))).scalar_one() for e in ENTITIES.values()}


def details_due(connection: Connection) -> int:
    """Records that wait to be read whole at leisure."""
    return sum(
        connection.execute(_BULK, {"entity": each.name, "bulk": each.priority + BULK_PRIORITY}).scalar_one()
        for each in ENTITIES.values()
    )


def events_unsettled(connection: Connection) -> int:
    """Webhooks without a verdict."""
    return int(connection.execute(_UNSETTLED).scalar_one())


def latencies(connection: Connection, phase: str, since: datetime, until: datetime) -> dict[str, Any]:
    """From the receipt of a webhook to its committed row, of those whose body was whole and those that were read."""
    found: dict[str, Any] = {}
    for kind, count, (p50, p95) in connection.execute(_LATENCY, {"since": since, "until": until}):
        figures = {"count": count, "p50_s": round(p50, 3), "p95_s": round(p95, 3)}
        found |= {f"{phase}_webhooks_{kind}_{name}": figure for name, figure in figures.items()}
    return found


def order(connection: Connection, before: datetime) -> dict[str, Any]:
    """How far the order of reading was that of use, for documents unchanged since `before`, in percent of pairs.

    Of an open and a closed one the open one first; of two open or two closed ones, changed more than 30 days apart, the
    newer first. A sample of each entity; pairs of different entities count too.
    """
    samples = " union all ".join(_sample(each) for each in ENTITIES.values() if each.closed)
    counted = connection.execute(text(_PAIRS.format(samples=samples)), {"before": before}).one()
    return {
        "open_before_closed_percent": round(100 * counted.open_first / max(1, counted.of_states), 1),
        "new_before_old_percent": round(100 * counted.new_first / max(1, counted.of_ages), 1),
    }


_PAIRS = """
with seen as materialized ({samples})
select count(*) filter (where not a.closed and b.closed) as of_states,
       count(*) filter (where not a.closed and b.closed and a.read <= b.read) as open_first,
       count(*) filter (where a.closed = b.closed and a.changed > b.changed + interval '30 days') as of_ages,
       count(*) filter (where a.closed = b.closed and a.changed > b.changed + interval '30 days' and a.read <= b.read)
           as new_first
from seen a cross join seen b
"""


def _sample(entity: Entity) -> str:
    closed = ", ".join(f"'{status}'" for status in entity.closed)
    return f"""(
        select status in ({closed}) as closed, source_modified_at as changed, lines_confirmed_at as read
        from {entity.table.fullname} where lines_confirmed_at is not null and source_modified_at < :before
        order by md5(source_id) limit 400)"""


def calls(state: Mapping[str, Any]) -> dict[str, int]:
    """The stand-in's count of calls: of lists, of single records, and of those it refused."""
    counted = {"lists": 0, "records": 0, "refused": 0}
    for endpoint, statuses in state["api_calls"].items():
        if endpoint.startswith("POST /oauth"):
            continue
        kind = "records" if endpoint.endswith((">", "/itemdetails")) else "lists"
        counted["refused"] += statuses.get("429", 0)
        counted[kind] += sum(count for status, count in statuses.items() if status != "429")
    return counted
