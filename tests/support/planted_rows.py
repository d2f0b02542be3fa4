"""Rows planted into the tables of the mirror and of the work, for tests of what is counted from them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from tds_models.entities import ENTITIES


def plant(engine: Engine, table: str, *rows: Mapping[str, Any]) -> None:
    """Insert rows into a table; they may have different columns."""
    with engine.begin() as connection:
        for row in rows:
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"insert into {table} ({', '.join(row)}) values ({values})"), dict(row))


def records(engine: Engine, entity: str, *rows: Mapping[str, Any]) -> None:
    """Insert confirmed rows of an entity; ids are 1, 2, … where none is given."""
    common = {"source": "zoho", "version": 1, "confirmed_at": "2026-11-20T00:00:00Z"}
    if ENTITIES[entity].header_first:
        common["lines_confirmed_at"] = "2026-11-20T00:00:00Z"
    plant(
        engine,
        f"erp.{entity}",
        *({"source_id": str(number), **common, **row} for number, row in enumerate(rows, start=1)),
    )


def event(received_at: datetime, *, after: float | None = 0.3, verdict: str | None = "applied", **more: Any) -> dict:
    """A row of the inbox; `after`: seconds until its verdict."""
    row = {"source": "zoho", "entity": "product", "source_id": "1", "correlation_id": "c", "received_at": received_at}
    if verdict is not None:
        row |= {"verdict": verdict, "verdict_at": received_at.timestamp() + (after or 0.0)}
        row["verdict_at"] = datetime.fromtimestamp(row["verdict_at"], received_at.tzinfo)
    return {**row, **more}


def attempt(ended_at: datetime, outcome: str, **more: Any) -> dict:
    """A row of the attempts log."""
    return {"source": "zoho", "entity": "product", "source_id": "1", "generation": 1, "attempt": 1,
            "correlation_id": "c", "outcome": outcome, "ended_at": ended_at, **more}  # fmt: skip


def run(ended_at: datetime, **more: Any) -> dict:
    """A row of a full run that ended well."""
    return {"source": "zoho", "entity": "product", "mode": "full", "state": "completed", "requested_by": "test",
            "correlation_id": "c", "requested_at": ended_at, "started_at": ended_at, "ended_at": ended_at,
            **more}  # fmt: skip


def dead_letter(dead_at: datetime, resolved_at: datetime | None = None, **more: Any) -> dict:
    """A row of the dead-letter queue."""
    return {"source": "zoho", "entity": "product", "source_id": "1", "error_class": "permanent", "error": "x",
            "fingerprint": "f", "attempts": 1, "priority": 5, "correlation_id": "c", "dead_at": dead_at,
            "resolved_at": resolved_at, **more}  # fmt: skip


def action(recorded_at: datetime, operation: str, **more: Any) -> dict:
    """A row of the action log: something an operator did."""
    return {"recorded_at": recorded_at, "caller": "ann", "caller_kind": "operator", "operation": operation,
            "subject": "x", "outcome": "done", "correlation_id": "c", **more}  # fmt: skip


def comparison(engine: Engine, ended_at: datetime, **percents: Any) -> None:
    """Insert a comparison of some entities that ended well, with what percentage of each was equal."""
    with engine.begin() as connection:
        number = connection.execute(
            text(
                "insert into tds_comparisons (source, requested_by, state, agreement, seed, correlation_id, ended_at)"
                " values ('zoho', 'test', 'completed', 'equal', 1, 'c', :ended_at) returning id"
            ),
            {"ended_at": ended_at},
        ).scalar_one()
    for entity, percent in percents.items():
        agreement = "equal" if percent == 100 else "differs"
        plant(engine, "tds_comparison_reports", {
            "comparison_id": number, "entity": entity, "run_id": 1, "state": "completed", "agreement": agreement,
            "here_count": 49, "there_count": 50, "match_percent": percent, "score": 90, "ended_at": ended_at,
        })  # fmt: skip
