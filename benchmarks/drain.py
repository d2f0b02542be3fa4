"""How fast workers empty a queue of 10,000 records that webhooks brought, and whether 1,000 records read at once end
exact, while more webhooks come; beside the same rows written with nothing around them, and one Celery task a record.

The floor claims and deletes the same work items and upserts the bodies as they came, a hundred at a time, from as many
processes as there are workers: no parsing, no history, no verdicts. The peer is what one would write first: Celery on
the same Redis and PostgreSQL with the same number of workers, one task and one upsert a record, and no history either.
Two more peers have their queue in PostgreSQL: the statements of pgmq, and Procrastinate where it is installed.
"""

import argparse
import importlib.util
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
from sqlalchemy import Engine, text

from benchmarks import drain_floor, drain_peer, drain_pgmq
from benchmarks.ingest import request_of
from benchmarks.load import Load, pace, press
from tds_core.config.settings import Settings, load_settings
from tds_core.sync.run_requests import request_records
from tds_lab.comparison.mirror_comparison import compare
from tds_lab.testbed import free_port
from tds_lab.zoho_stand_in import StandIn, StandInSpec
from tds_local import programs
from tds_local.stack import Stack, running_stack
from tds_models.db import make_engine, session_scope

WORKERS = 2
ITEMS, AT_ONCE = 10_000, 1_000
# Webhooks that come while the workers drain.
LATE, LATE_PER_SECOND = 1_500, 100.0
ENCODER = msgspec.json.Encoder(decimal_format="number")
CONNECTIONS, LOOK_SECONDS = 64, 0.1

_DONE = text("""
select count(*) from tds_inbox_events
where verdict is not null and id <= (select min(id) from tds_inbox_events) + :last - 1
""")
_OWED = text("select count(*) from tds_sync_queue where entity = :entity")
_UNDONE = text("""
select (select count(*) from tds_inbox_events where verdict is null and entity = 'customer')
     + (select count(*) from tds_dead_letter_queue)
     + (select count(*) from (select from tds_audit_trail group by entity, source_id, version having count(*) > 1) d)
""")


@contextmanager
def on_stage(
    items: int, at_once: int, *, options: Mapping[str, int] = {}, environ: Mapping[str, str] = {}
) -> Iterator[tuple[Stack, StandIn, Engine]]:
    """A stand-in and the API in a home of their own, no worker yet.

    `options`: more options of the stand-in; `environ`: more settings.
    """
    home = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    home.chmod(0o755)
    for name in [name for name in os.environ if name.startswith(("TDS_", "ZOHO_"))]:
        del os.environ[name]  # nothing of an operator's own TDS comes in here
    sizes = {"customers": items, "invoices": at_once, "products": 50, "vendors": 5, "orders": 5, "payments": 5}
    counts = {**sizes, "bills": 5, "credit-notes": 5, "adjustments": 5, **options}
    spec = StandInSpec(port=free_port(), counts=counts, seed=7)
    try:
        with (
            running_stack(
                _settings(spec, home, environ), programs=lambda all_: [spec.program(), programs.api(all_)]
            ) as stack,
            closing(StandIn(spec.url)) as stand_in,
        ):
            engine = make_engine(stack.settings.database_url, pool_size=2, application="tds-bench")
            try:
                yield stack, stand_in, engine
            finally:
                engine.dispose()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _settings(spec: StandInSpec, home: Path, environ: Mapping[str, str]) -> Settings:
    return load_settings(
        {
            "TDS_HOME": str(home),
            "TDS_PORT": str(free_port()),
            "TDS_FLOWER_PORT": str(free_port()),
            "TDS_LOG_LEVEL": "WARNING",
            "TDS_WORKERS": str(WORKERS),
            "ZOHO_ACCOUNTS_URL": spec.url,
            "ZOHO_API_URL": spec.url,
            "ZOHO_CLIENT_ID": spec.client_id,
            "ZOHO_CLIENT_SECRET": spec.client_secret,
            "ZOHO_REFRESH_TOKEN": spec.refresh_token,
            "ZOHO_ORGANIZATION_ID": spec.organization_id,
            "ZOHO_WEBHOOK_SECRET": secrets.token_hex(20),
            "ZOHO_CALLS_PER_MINUTE": "0",
            "ZOHO_BOOKS_CALLS_PER_DAY": "0",
            "ZOHO_INVENTORY_CALLS_PER_DAY": "0",
            "ZOHO_CONCURRENT_CALLS": "0",
            **environ,
        }
    )


def measure(*, items: int = ITEMS, at_once: int = AT_ONCE, late: int = LATE) -> dict[str, Any]:
    """All figures of one run."""
    with on_stage(items + late, at_once) as (stack, stand_in, engine):
        records = [row for row in stand_in.dump("contacts") if row["contact_type"] == "customer"]
        waiting, coming = _requests(stack.settings, records[:items]), _requests(stack.settings, records[items:])
        sent = accepted(press(stack.settings.port, waiting, connections=CONNECTIONS))
        floor = drain_floor.per_second(stack.settings.database_url, workers=WORKERS)
        plain = [json.loads(ENCODER.encode(each)) for each in records[:items]]
        peer = drain_peer.per_second(stack.settings, plain, workers=WORKERS)
        others = _queues_in_postgres(stack.settings.database_url, plain)
        with _ingesting(stack.settings.port, coming) as loads:
            start_workers(stack)
            per_second = _drained(engine, items)
        _await(engine, "customer")
        at_once_seconds = _read_at_once(engine, stand_in)
        with engine.connect() as connection:
            found = compare(connection, stand_in).differences
            undone = int(connection.execute(_UNDONE).scalar_one())
    return {
        "items": items,
        "drained_per_s": round(per_second),
        "floor_per_s": round(floor),
        "peer_per_s": round(peer),
        **{f"{name}_per_s": round(rate) for name, rate in others.items()},
        "floor_vs_drained": round(floor / per_second, 2),
        "drained_vs_peer": round(per_second / peer, 2),
        "ingest_per_s_before": round(sent.per_second),
        "ingest_p50_ms": round(loads[0].percentile_ms(0.5), 1),
        "ingest_p99_ms": round(loads[0].percentile_ms(0.99), 1),
        "at_once": at_once,
        "at_once_s": round(at_once_seconds, 2),
        "differences": sum(each.entity in ("customer", "invoice") for each in found),
        "undone_or_doubled": undone,
    }


def _queues_in_postgres(database_url: str, records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Records a second of each peer whose queue is in PostgreSQL."""
    rates = {"pgmq": drain_pgmq.per_second(database_url, records, workers=WORKERS)}
    if importlib.util.find_spec("procrastinate") is not None:
        procrastinate = importlib.import_module("benchmarks.drain_procrastinate")
        rates["procrastinate"] = procrastinate.per_second(database_url, records, workers=WORKERS)
    return rates


def _requests(settings: Settings, records: Sequence[Mapping[str, Any]]) -> list[bytes]:
    secret, path = settings.zoho_webhook_secret, "/api/tds/zoho/webhooks/customer/updated"
    return [request_of(ENCODER.encode({"contact": each}), path=path, secret=secret) for each in records]


def accepted(load: Load) -> Load:
    """A figure counts only when every webhook was accepted."""
    if set(load.statuses) != {"202"}:
        raise RuntimeError(f"Not every webhook was accepted: {load.statuses}")
    return load


def start_workers(stack: Stack) -> None:
    """The workers, and the dispatcher that nudges them."""
    for program in programs.programs_of(stack.settings):
        if program.name == "dispatcher" or program.name.startswith("worker-"):
            stack.processes.launch(program)


@contextmanager
def _ingesting(port: int, requests: Sequence[bytes]) -> Iterator[list[Load]]:
    """Webhooks come at a steady rate while the block runs, and go on coming until all were sent."""
    loads: list[Load] = []
    begun = Thread(target=lambda: loads.append(pace(port, requests, per_second=LATE_PER_SECOND, connections=8)))
    begun.start()
    try:
        yield loads
    finally:
        begun.join()
    accepted(loads[0])


def _drained(engine: Engine, items: int) -> float:
    """Records a second, from the first that are done to the last, of those that were owed before the workers came."""
    begun_at, first = 0.0, 0
    while True:
        with engine.connect() as connection:
            done = int(connection.execute(_DONE, {"last": items}).scalar_one())
        now = time.perf_counter()
        if done and not first:
            begun_at, first = now, done
        if done == items:
            few = first == items  # all of them between two looks
            return items / LOOK_SECONDS if few else (items - first) / (now - begun_at)
        time.sleep(LOOK_SECONDS)


def _await(engine: Engine, entity: str) -> None:
    while True:
        with engine.connect() as connection:
            if not connection.execute(_OWED, {"entity": entity}).scalar():
                return
        time.sleep(LOOK_SECONDS)


def _read_at_once(engine: Engine, stand_in: StandIn) -> float:
    """Owe every invoice a reading of its own at one moment; seconds until the last is done."""
    ids = [row["invoice_id"] for row in stand_in.dump("invoices")]
    begun_at = time.perf_counter()
    with session_scope(engine) as session:
        request_records(session, entity="invoice", source_ids=ids, requested_by="benchmark")
    _await(engine, "invoice")
    return time.perf_counter() - begun_at


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--items", type=int, default=ITEMS)
    chosen = parser.parse_args(arguments)
    figures = measure(items=chosen.items)
    print(
        json.dumps(figures) if chosen.json else "\n".join(f"{name:24} {value:>10}" for name, value in figures.items())
    )
    return 1 if figures["differences"] or figures["undone_or_doubled"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
