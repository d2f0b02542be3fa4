"""A second peer of the drain: Procrastinate, whose queue is a table as TDS' is; a job a record, and one upsert each."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import procrastinate
from sqlalchemy import text

from tds_core.database_urls import without_driver
from tds_models.db import make_engine, session_scope

URL = "BENCHMARK_DATABASE_URL"
TABLE = text("""
create table benchmark_procrastinate (source_id text primary key, record jsonb not null,
    done_at timestamptz not null default clock_timestamp())
""")
UPSERT = """
insert into benchmark_procrastinate (source_id, record) values (%s, cast(%s as jsonb))
on conflict (source_id) do update set record = excluded.record, done_at = clock_timestamp()
"""
SPAN = text("select count(*), extract(epoch from max(done_at) - min(done_at))::float8 from benchmark_procrastinate")
#: Jobs a worker does at once: its own default is one, and waiting for the database is most of a job.
CONCURRENCY = 8

connector = procrastinate.PsycopgConnector(conninfo=os.environ.get(URL, ""), min_size=2, max_size=CONCURRENCY + 2)
app = procrastinate.App(connector=connector)


@app.task(name="upsert", pass_context=False)
async def upsert(source_id: str, record: Mapping[str, Any]) -> None:
    """Write one record, over the connections Procrastinate has."""
    async with connector.pool.connection() as connection:
        await connection.execute(UPSERT, (source_id, json.dumps(record)))


def per_second(database_url: str, records: Sequence[Mapping[str, Any]], *, workers: int) -> float:
    """Records a second, from the first to the last written, of a queue that was full before the workers started."""
    plain = without_driver(database_url)
    engine = make_engine(database_url, pool_size=1)
    with session_scope(engine) as session:
        session.execute(TABLE)
    asyncio.run(_defer(plain, records))
    with session_scope(engine) as session:
        session.execute(text("analyze procrastinate_jobs"))
    command = [sys.executable, "-m", "benchmarks.drain_procrastinate"]
    began = [subprocess.Popen(command, env={**os.environ, URL: plain}) for _ in range(workers)]
    try:
        while True:
            with engine.connect() as connection:
                count, seconds = connection.execute(SPAN).one()
            if count == len(records):
                return len(records) / float(seconds)
            if all(each.poll() is not None for each in began):
                raise RuntimeError(f"Procrastinate's workers ended with {count} of {len(records)} records done.")
            time.sleep(0.2)
    finally:
        for each in began:
            each.terminate()
        for each in began:
            each.wait(20)
        engine.dispose()


async def _defer(conninfo: str, records: Sequence[Mapping[str, Any]]) -> None:
    sender = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=conninfo))
    given = [{"source_id": record["contact_id"], "record": record} for record in records]
    async with sender.open_async():
        await sender.schema_manager.apply_schema_async()
        for start in range(0, len(given), 1000):
            await sender.configure_task("upsert").batch_defer_async(*given[start : start + 1000])


async def _work() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, wait=False, delete_jobs="always", listen_notify=False)


if __name__ == "__main__":
    asyncio.run(_work())
