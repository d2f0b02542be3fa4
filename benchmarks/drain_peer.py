"""The peer of the drain: a Celery task a record, each of which upserts its record in a transaction of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from sqlalchemy import Engine, text

from tds_core.config.settings import Settings
from tds_models.db import make_engine, session_scope

app = Celery("peer", broker=os.environ.get("BENCHMARK_BROKER_URL"))
app.conf.update(
    task_ignore_result=True, worker_prefetch_multiplier=100, task_default_queue="peer", broker_transport_options={}
)
UPSERT = text("""
insert into benchmark_peer (source_id, record) values (:id, cast(:record as jsonb))
on conflict (source_id) do update set record = excluded.record, done_at = clock_timestamp()
""")
TABLE = text("""
create table benchmark_peer (source_id text primary key, record jsonb not null,
    done_at timestamptz not null default clock_timestamp())
""")
SPAN = text("""
select count(*), extract(epoch from max(done_at) - min(done_at))::float8 from benchmark_peer
""")
_engines: list[Engine] = []


@app.task(name="peer.upsert")
def upsert(record: Mapping[str, Any]) -> None:
    """Write one record."""
    if not _engines:
        _engines.append(make_engine(os.environ["BENCHMARK_DATABASE_URL"], pool_size=1))
    with session_scope(_engines[0]) as session:
        session.execute(UPSERT, {"id": record["contact_id"], "record": json.dumps(record)})


def per_second(settings: Settings, records: Sequence[Mapping[str, Any]], *, workers: int) -> float:
    """Records a second, from the first to the last written, of a queue that was full before the workers started."""
    env = {
        **os.environ,
        "BENCHMARK_BROKER_URL": f"{settings.redis_url.rsplit('/', 1)[0]}/5",
        "BENCHMARK_DATABASE_URL": settings.database_url,
    }
    engine = make_engine(settings.database_url, pool_size=1)
    with session_scope(engine) as session:
        session.execute(TABLE)
    app.conf.broker_url = env["BENCHMARK_BROKER_URL"]
    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = app.amqp.Producer(channel)
        for record in records:
            upsert.apply_async((record,), producer=producer)
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.drain_peer", "worker", "-c", "1", "-Q", "peer"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]
    began = [
        subprocess.Popen(
            [*command, *quiet, "-n", f"peer{number}@%h"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for number in range(workers)
    ]
    try:
        while True:
            with engine.connect() as connection_:
                count, seconds = connection_.execute(SPAN).one()
            if count == len(records):
                return len(records) / float(seconds)
            time.sleep(0.2)
    finally:
        for each in began:
            each.terminate()
        for each in began:
            each.wait(20)
        engine.dispose()
