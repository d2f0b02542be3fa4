"""No list looks through a whole table for a page: each is read by an index, whatever it is filtered by."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from benchmarks import list_endpoints, seed
from tds_models.partitions import PARTITIONED, is_partition
from tests.support.database_role import superuser

#: Enough that reading a whole table is never the cheapest way to a page.
SIZE = seed.Size(events=20_000, attempts=5_000, letters=8_000, runs=8_000, changes=20_000, records=5_000)
#: So many rows of a partition are found as fast without an index; that of an ordinary day has more.
FEW = 500
#: These are no pages: they count what is there, or show tables that stay small.
COUNTING = ("zoho/webhooks/health", "queue/stats", "auto-healing/stats", "entities", "health", "group_by")
#: Refused deliveries are not among them: no more than 10,000 are kept.
GROWING = {
    "tds_inbox_events", "tds_inbox_fingerprints", "tds_sync_logs", "tds_sync_runs",
    "tds_dead_letter_queue", "tds_dead_letter_revivals", "tds_findings", "tds_healing_actions", "tds_operator_actions",
    "tds_audit_trail", "product", "invoice", "invoice_line", "customer", "stock_level",
}  # fmt: skip

Plan = dict[str, Any]


@pytest.fixture
def plans(engine: Engine, database: str) -> dict[str, list[Plan]]:
    """The parts of the plans of what each page asks, as they were carried out, by its name."""
    seed.fill(engine, SIZE)
    with superuser(engine) as session:  # the application owns no table, and so measures none
        session.execute(text("analyze"))
    client, close = list_endpoints.client_of(database)
    asked: list[tuple[str, Any]] = []
    reading = client.application.extensions["tds"].engine
    event.listen(reading, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    found = {}
    with engine.connect() as connection:
        for name, path, arguments in list_endpoints.questions(engine):
            asked.clear()
            answer = client.get(
                f"/api/tds/{path}", query_string=arguments, headers={"Authorization": f"Bearer {list_endpoints.TOKEN}"}
            )
            assert answer.status_code == 200, answer.text
            found[name] = []
            for statement, values in asked:
                if statement.lstrip().lower().startswith(("select", "with")):
                    explain = f"explain (analyze, format json) {statement}"
                    [whole] = connection.exec_driver_sql(explain, values).scalar_one()
                    found[name] += parts(whole["Plan"])
    close()
    return found


def parts(plan: Plan) -> Iterator[Plan]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from parts(inner)


def whole_of(part: Plan) -> str:
    """The table that is read, also where it is a partition that is; empty if none is."""
    name: str = part.get("Relation Name", "")
    return next((table for table in PARTITIONED if name.startswith(f"{table}_") and is_partition(name)), name)


def looked_at(part: Plan) -> float:
    """Rows that were read to find some."""
    removed = part.get("Rows Removed by Filter", 0) + part.get("Rows Removed by Index Recheck", 0)
    return float((part["Actual Rows"] + removed) * part["Actual Loops"])


def test_pages_are_read_by_indexes(plans: dict[str, list[Plan]]) -> None:
    listing = {name: found for name, found in plans.items() if not name.startswith(COUNTING[:-1])}
    listing |= {name: found for name, found in plans.items() if name.startswith("entities/")}
    # Partitions at the edge of time, of a day that just began or a week that is almost gone, are read with a few looks.
    whole = [
        (name, part["Relation Name"])
        for name, found in listing.items()
        for part in found
        if part["Node Type"] == "Seq Scan"
        and whole_of(part) in GROWING
        and looked_at(part) > (FEW if is_partition(part["Relation Name"]) else 0)
        and COUNTING[-1] not in name
    ]
    assert whole == []
    much = [
        (name, part["Node Type"], looked_at(part))
        for name, found in listing.items()
        for part in found
        if whole_of(part) == "tds_inbox_events" and looked_at(part) > SIZE.events / 10
    ]
    assert much == [], "no page of events looks at more than a tenth of them"
