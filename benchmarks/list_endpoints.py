"""Every list and report of the API with a busy week behind it: its first page, one in the depth, and filtered."""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from benchmarks import seed
from benchmarks.seed import FIRST_ID, Size
from tds_api.app import create_app
from tds_core.config.settings import load_settings
from tds_core.pagination import encode_cursor
from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres
from tds_models.db import UNLIMITED, make_engine

TOKEN = "a-token-for-benchmarks-only"  # noqa: S105 (of a database that is thrown away)
AIM_MS, REPORT_AIM_MS = 100, 1000
#: What a list is in the order of, if not of its ids.
_KEYS = {"tds_inbox_events": "received_at, id", "tds_operator_actions": "recorded_at, 1, id"}
_HOUR_AGO, _DAYS_AGO = "now - 1 hour", "now - 5 days"


@dataclass(frozen=True)
class List:
    """A list, the ways it is filtered, and the table whose ids its pages are marked by; none: it has one page.

    `is_whole`: whether it is asked for without a filter too.
    """

    path: str
    table: str = ""
    filters: tuple[Mapping[str, str], ...] = field(default=())
    is_whole: bool = True


LISTS = (
    List("zoho/webhooks/recent", "tds_inbox_events", (
        {"entity": "customer"}, {"verdict": "open"}, {"verdict": "applied"}, {"verdict": "dead_lettered"},
        {"verdict": "deleted"}, {"entity": "customer", "verdict": "quarantined"}, {"source_id": str(FIRST_ID + 7)},
        {"since": _HOUR_AGO}, {"until": _DAYS_AGO}, {"since": _HOUR_AGO, "verdict": "stale"},
    )),
    List("zoho/webhooks/rejected", "tds_rejected_deliveries", (
        {"reason": "signature_wrong"}, {"reason": "none_has_it"}, {"since": _HOUR_AGO}, {"until": _DAYS_AGO},
        {"entity": "customer"}, {"source_id": str(FIRST_ID + 7)},
    )),
    List("zoho/webhooks/health"),
    List("runs", "tds_sync_runs", (
        {"entity": "customer"}, {"state": "failed"}, {"state": "held"}, {"mode": "full"}, {"since": _HOUR_AGO},
        {"entity": "invoice", "state": "cancelled", "mode": "dry_run"},
    )),
    List("queue", "tds_sync_queue", ({"entity": "customer"}, {"state": "due"}, {"state": "leased"})),
    List("queue/stats"),
    List("dead-letter", "tds_dead_letter_queue", (
        {"state": "all"}, {"state": "closed"}, {"state": "being_retried"}, {"state": "dead"}, {"entity": "customer"},
        {"error_class": "ValidationError"}, {"error_class": "none_has_it"}, {"fingerprint": "problem 7"},
        {"assigned_to": "ann"}, {"assigned_to": "nobody"}, {"source_id": str(FIRST_ID + 7)},
        {"group_by": "fingerprint"},
    )),
    List("dead-letter/retry", "tds_dead_letter_batches"),
    List("findings", "tds_findings", ({"open": "true"}, {"entity": "customer"}, {"kind": "none_has_it"})),
    List("auto-healing/history", "tds_healing_actions", (
        {"action": "letters"}, {"action": "workers"}, {"outcome": "failed"}, {"since": _HOUR_AGO},
    )),
    List("auto-healing/stats"),
    List("audit", "tds_operator_actions", (
        {"caller": "ann"}, {"caller": "nobody"}, {"operation": "runs.start"}, {"outcome": "failed"},
        {"since": _HOUR_AGO}, {"until": _DAYS_AGO}, {"kind": "change"}, {"kind": "change", "until": _DAYS_AGO},
        {"entity": "product"}, {"entity": "bill"}, {"entity": "product", "source_id": str(FIRST_ID + 7)},
        {"source_id": str(FIRST_ID + 7)},
    )),
    List("entities"),
    List("entities/product", "erp.product", (
        {"changed_since": _HOUR_AGO}, {"deleted": "true"}, {"confirmed": "false"}, {"as_of": _HOUR_AGO},
        {"as_of": _DAYS_AGO}, {"status": "usual"}, {"status": "seldom"}, {"status": "none_has_it"}, {"sku": "sku-77"},
        {"name": "product 77"}, {"name": "p"}, {"name": "none_has_it"},
    )),
    List("entities/invoice", "erp.invoice", (
        {"customer": str(FIRST_ID + 7)}, {"customer": "customer 7"}, {"customer": "none_has_it"},
        {"number": "Invoice 77"}, {"status": "seldom", "customer": "customer 7"},
    )),
    List("search", "", (
        {"q": "i"}, {"q": "product 7"}, {"q": str(FIRST_ID)[:5]}, {"q": str(FIRST_ID + 7)}, {"q": "none_has_it"},
    ), is_whole=False),
    List(f"entities/product/{FIRST_ID + 7}/history"),
    List(f"explain/product/{FIRST_ID + 7}"),
    List("schedules"),
    List("keys"),
    List("operators"),
    List("health"),
)  # fmt: skip
#: What is asked of whole tables.
REPORTS = (
    List("monitoring/health"),
    List("dashboard"),
    List("dashboard/complete"),
    *(List(f"statistics/{name}") for name in (
        "overview", "items", "customers", "vendors", "pricelists", "stock", "health", "acceptance", "compare",
        "compare/90", "recommendations",
    )),
    List("statistics/history", "", ({"days": "366"}, {"days": "366", "entity": "product"})),
    List("statistics/comparisons", "tds_comparisons"),
    List("statistics/compare/90/differences", "tds_comparison_differences", (
        {"entity": "product"}, {"state": "suspect"}, {"state": "repaired"},
        {"state": "confirmed", "entity": "customer"},
    )),
    List("stats/combined"),
    List("data-validation/integrity"),
    List("data-validation/orphans"),
    List("data-validation/reports"),
    List("zoho/webhooks/coverage", "", ({"hours": "2160"}, {"entity": "product"})),
    List("zoho/webhooks/coverage/gaps", "", ({"entity": "customer"}, {"verdict": "late"})),
    List("sync/stock/stats"),
)  # fmt: skip


@contextmanager
def filled(size: Size) -> Iterator[tuple[str, Engine]]:
    """A database of `size` on a server of its own; in memory where there is room."""
    memory = Path("/dev/shm")  # noqa: S108 (thrown away)
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 8 * 1024**3
    home = Path(tempfile.mkdtemp(prefix="tds-pages-", dir=memory if roomy else None))
    home.chmod(0o755)
    try:
        with EmbeddedPostgres(home, durable=False) as server:
            upgrade(server.url)
            engine = make_engine(server.url, pool_size=2, timeouts=UNLIMITED)
            seed.fill(engine, size)
            yield server.url, engine
            engine.dispose()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def client_of(url: str) -> tuple[FlaskClient, Any]:
    """A client of the API on a database, and what closes it."""
    unlimited = {"TDS_REQUESTS_PER_MINUTE": "0", "TDS_ADDRESS_REQUESTS_PER_MINUTE": "0"}
    app = create_app(
        load_settings({"TDS_DATABASE_URL": url, "TDS_API_TOKEN": TOKEN, **unlimited}), nudge=lambda _: None
    )
    return app.test_client(), app.extensions["tds"].close


def questions(engine: Engine, lists: Sequence[List] = LISTS) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What is asked: a name for it, the path, the arguments."""
    for each in lists:
        if each.is_whole:
            yield f"{each.path} (first)", each.path, {}
        if each.table:
            yield f"{each.path} (deep)", each.path, {"cursor": _middle(engine, each.table)}
        for filters in each.filters:
            told = " ".join(f"{name}={value}" for name, value in filters.items())
            yield f"{each.path} {told}", each.path, {name: _moment(engine, value) for name, value in filters.items()}


def medians(client: FlaskClient, engine: Engine, *, rounds: int) -> dict[str, float]:
    """Milliseconds to the whole answer, by question."""
    found = {}
    for name, path, arguments in questions(engine, (*LISTS, *REPORTS)):
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = client.get(f"/api/tds/{path}", query_string=arguments, headers=headers)
            took.append((time.perf_counter() - began) * 1000)
            assert answer.status_code in (200, 202), (name, answer.text)
        found[name] = round(statistics.median(took), 1)
    return found


def measure(size: Size | None = None, *, rounds: int = 7) -> dict[str, float]:
    """The medians of a database of `size`; the full one by default."""
    with filled(size or Size()) as (url, engine):
        client, close = client_of(url)
        try:
            return medians(client, engine, rounds=rounds)
        finally:
            close()


def _middle(engine: Engine, table: str) -> str:
    """The mark of a page in the middle of a list."""
    with engine.connect() as connection:
        keys = _KEYS.get(table, "source, source_id" if table.startswith("erp.") else "id")
        middle = text(f"select {keys} from {table} order by {keys} limit 1 offset (select count(*) / 2 from {table})")
        return encode_cursor(list(connection.execute(middle).one()))


def _moment(engine: Engine, value: str) -> str:
    """What an argument says; moments are told by their distance from the database's clock."""
    if not value.startswith("now - "):
        return value
    with engine.connect() as connection:
        at = connection.execute(text("select now() - cast(:ago as interval)"), {"ago": value.removeprefix("now - ")})
        return str(at.scalar_one().isoformat())


def main() -> None:
    """Print the medians, the slowest first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.list_endpoints", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size; 1")
    parser.add_argument("--records", type=int, help="rows of an entity; 50,000")
    chosen = parser.parse_args()
    full = Size()
    size = Size(*(max(1, int(getattr(full, name) * chosen.share)) for name in Size.__dataclass_fields__))
    found = measure(replace(size, records=chosen.records or size.records))
    if chosen.json:
        print(json.dumps(found))
        return
    reports = tuple(each.path for each in REPORTS)
    for name, milliseconds in sorted(found.items(), key=lambda each: -each[1]):
        aim = REPORT_AIM_MS if name.startswith(reports) else AIM_MS
        print(f"{milliseconds:8.1f} ms  {name}{'   over the aim' if milliseconds > aim else ''}")


if __name__ == "__main__":
    main()
