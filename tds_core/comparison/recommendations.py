"""Recommendations: what an operator should do next about the mirror, the most urgent first, with its price."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison import repair
from tds_core.comparison.queries import LatestReport, latest_reports
from tds_core.config.settings import Settings
from tds_core.queue.items import database_clock
from tds_models.comparison import Agreement
from tds_models.entities import ENTITIES

#: A proof older than this is to be renewed; the daily comparison has two hours to spare.
PROOF_AGE = timedelta(hours=26)
# More records than this that one side lacks are brought, or removed, faster by a full pass, whose list pages show many
# at once. It leaves alone what differs under an unchanged time of change, as a row that was edited here does.
MANY_MISSING = 200
PAGE_ROWS = 200


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One thing to do. `priority`: 1 is most urgent, 10 least. `mode`: of the run it leads to; "" for none."""

    priority: int
    entity: str
    reason: str
    command: str
    mode: str = ""
    api_call_count: int = 0
    seconds: float = 0.0


_FACTS = text("""
select (select jsonb_object_agg(entity, n) from (select entity, count(*) as n from tds_dead_letter_queue
            where resolved_at is null group by 1) d) as letters,
       (select jsonb_object_agg(entity, id) from (select entity, max(id) as id from tds_sync_runs
            where state = 'held' group by 1) h) as held,
       (select jsonb_object_agg(c.relname, greatest(c.reltuples, 0)::bigint) from pg_class c
            join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'erp' and c.relkind = 'r') as about
""")


def recommendations(session: Session, settings: Settings) -> list[Recommendation]:
    """What to do next, the most urgent first."""
    now, reports = database_clock(session), latest_reports(session)
    facts = session.execute(_FACTS).mappings().one()
    found = []
    for name in ENTITIES:
        if run_id := (facts["held"] or {}).get(name):
            found.append(Recommendation(1, name, "A run waits for a decision.", f"tds runs show {run_id}"))
        if count := (facts["letters"] or {}).get(name):
            words = f"TDS gave up on {count:,} records until somebody decides."
            found.append(Recommendation(3, name, words, f"tds dead-letter list --entity {name}"))
        # To count a million rows would take longer than the answer may; about how many there are is enough.
        report = reports.get(name)
        size = report["there_count"] if report else facts["about"].get(ENTITIES[name].table.name, 0)
        found += _of_report(settings, name, report, size, now)
    return sorted(found, key=lambda each: each.priority)


def _of_report(
    settings: Settings, name: str, report: LatestReport | None, size: int, now: datetime
) -> list[Recommendation]:
    pages = size // PAGE_ROWS + 1
    price: dict[str, Any] = {"api_call_count": pages, "seconds": repair.seconds(settings, pages)}
    if report is None:
        words = "It was never compared with the source."
        return [Recommendation(6, name, words, f"tds compare {name}", "comparison", **price)]
    if report["agreement"] == Agreement.DIFFERS:
        return [_repair_of(settings, name, report, price)]
    if report["agreement"] == Agreement.UNPROVEN:
        words = f"Nothing is proven of it: {report['reason'] or 'no reason is known'}."
        return [Recommendation(4, name, words, f"tds compare {name}", "comparison", **price)]
    if now - report["ended_at"] > PROOF_AGE:
        words = f"It was last proven equal at {report['ended_at']:%Y-%m-%d %H:%M} UTC."
        return [Recommendation(7, name, words, f"tds compare {name}", "comparison", **price)]
    return []


def _repair_of(settings: Settings, name: str, report: LatestReport, price: dict[str, Any]) -> Recommendation:
    count = report["difference_count"]
    words = f"{count:,} records differ from the source."
    if count > MANY_MISSING and not report["different_count"]:
        return Recommendation(2, name, words, f"tds sync {name} --mode full --wait", "full", **price)
    calls = repair.call_count(ENTITIES[name], count)
    command = f"tds compare {name} --repair"
    return Recommendation(2, name, words, command, "targeted", calls, repair.seconds(settings, calls))
