"""How soon a webhook is a row, with all of TDS and the stand-in for Zoho on this machine: few changes a second, fifty,
and a hundred; and what each program computes meanwhile. `--products` puts so many more into the mirror before.

The time runs from the transaction that stores the event to the statement that ends its work: the request before it and
the commit after it, some milliseconds each, are left out. Redis is not among the programs.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.ingest import cpu_seconds
from benchmarks.ingest_insert import postgres_seconds
from benchmarks.running import loaded
from benchmarks.seed import FIRST_ID
from tds_lab.demo import phases, stats
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import faults, rules
from tds_models.db import UNLIMITED, make_engine

RATES, SECONDS = (5.0, 50.0, 100.0), 60.0
#: What is left out at the start of each rate: connections are made, caches filled.
WARM_UP_SECONDS = 5.0

_MORE_PRODUCTS = text("""
insert into erp.product (source, source_id, name, price, sku, status, version, source_modified_at, source_record,
                         changed_at, confirmed_at)
select 'zoho', (:first + n)::text, 'product ' || n, n / 7.0, 'more-' || n, 'active', 1, now(),
       jsonb_build_object('item_id', (:first + n)::text, 'text', repeat('x', 1000)), now(), now()
from generate_series(1, :count) n
""")
_DUE = text("select count(*) from tds_sync_queue where lease_token is null and next_attempt_at <= now()")


@contextmanager
def announced(size: str, products: int) -> Iterator[Environment]:
    """All of TDS with webhooks on."""
    with loaded(size) as environment:
        if products:
            _add_products(environment, products)
        webhooks, secret = environment.stack.urls["webhooks"], environment.stack.settings.zoho_webhook_secret
        environment.stand_in.set_rules(list(rules(webhooks, secret)))
        environment.stand_in.set_faults(faults(0.0))
        yield environment


def _add_products(environment: Environment, count: int) -> None:
    """Rows that no list shows; nothing reads lists meanwhile but an hourly run, which does not miss them."""
    engine = make_engine(environment.stack.settings.database_url, pool_size=1, timeouts=UNLIMITED)
    with engine.begin() as connection:
        connection.execute(_MORE_PRODUCTS, {"first": FIRST_ID - 10 * count, "count": count})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum (analyze) erp.product"))
    engine.dispose()


def processor_seconds(environment: Environment) -> dict[str, float]:
    """Processor time of each program so far, PostgreSQL's too."""
    running = environment.stack.processes.running
    spent = {name: cpu_seconds(psutil.Process(each.pid)) for name, each in running.items()}
    postmaster = psutil.Process(environment.stack.servers["PostgreSQL"].pid)
    return {**spent, "postgres": postgres_seconds(postmaster)}


def at_rate(environment: Environment, rate: float, seconds: float) -> dict[str, float]:
    """The figures of so many changes a second."""
    environment.stand_in.start_edits(rate=rate, seed=int(rate))
    time.sleep(min(WARM_UP_SECONDS, seconds / 4))
    with environment.engine.connect() as connection:
        since = stats.clock(connection)
    began, before = time.monotonic(), processor_seconds(environment)
    time.sleep(seconds)
    with environment.engine.connect() as connection:
        until, waiting = stats.clock(connection), connection.execute(_DUE).scalar_one()
    wall, after = time.monotonic() - began, processor_seconds(environment)
    environment.stand_in.stop_edits()
    phases.wait_until_quiet(environment)
    with environment.engine.connect() as connection:
        latency = stats.latency_ms(connection, since=since, until=until)
        verdicts = sum(stats.count_verdicts(connection, since).values())
    busy = {name: (after[name] - before[name]) / wall for name in after if name in before}
    workers = sum(share for name, share in busy.items() if name.startswith("worker"))
    servers = sum(share for name, share in busy.items() if name.startswith("api"))
    return {
        "p50_ms": latency["p50"] or 0.0,
        "p95_ms": latency["p95"] or 0.0,
        "p99_ms": latency["p99"] or 0.0,
        "webhooks_per_s": round(verdicts / wall, 1),
        "due_at_the_end": waiting,
        "cores_busy": round(sum(busy.values()), 2),
        "cores_of_api": round(servers, 2),
        "cores_of_workers": round(workers, 2),
        "cores_of_postgres": round(busy["postgres"], 2),
        "cores_of_stand_in": round(busy.get("zoho-stand-in", 0.0), 2),
    }


def measure(
    rates: tuple[float, ...] = RATES, seconds: float = SECONDS, size: str = "usual", products: int = 0
) -> dict[str, Any]:
    """The figures of each rate, by name."""
    figures: dict[str, Any] = {"products": products}
    with announced(size, products) as environment:
        for rate in rates:
            figures |= {f"{name}_at_{rate:g}": value for name, value in at_rate(environment, rate, seconds).items()}
    return figures


def main() -> None:
    """Command line: `python -m benchmarks.webhook_to_row [--products N] [--rates N,N] [--seconds N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=0, help="so many more in the mirror")
    parser.add_argument("--rates", default=",".join(f"{each:g}" for each in RATES))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(tuple(map(float, chosen.rates.split(","))), chosen.seconds, products=chosen.products)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:32} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
