"""The floor of the drain: claim work items, upsert their bodies, delete them, and nothing else."""

import time
from collections.abc import Sequence
from multiprocessing import get_context

from sqlalchemy import text

from tds_models.db import make_engine, session_scope

BATCH = 100
TABLE = "create table benchmark_floor (source_id text primary key, record jsonb not null)"
COPY_OF_QUEUE = "create table benchmark_queue as select * from tds_sync_queue"
INDEX = "create unique index on benchmark_queue (id)"
STEP = text("""
with claimed as (
    delete from benchmark_queue where id in (
        select id from benchmark_queue order by id limit :batch for update skip locked)
    returning source_id, entity
)
insert into benchmark_floor
select distinct on (c.source_id) c.source_id, e.record from claimed c
join tds_inbox_events e on e.entity = c.entity and e.source_id = c.source_id
on conflict (source_id) do update set record = excluded.record
""")


def per_second(database_url: str, *, workers: int) -> float:
    """Items a second, of a copy of the queue, by so many processes."""
    engine = make_engine(database_url, pool_size=1)
    with session_scope(engine) as session:
        for statement in (COPY_OF_QUEUE, INDEX, TABLE):
            session.execute(text(statement))
        items = int(session.execute(text("select count(*) from benchmark_queue")).scalar_one())
        session.execute(text("analyze benchmark_queue"))
        session.execute(text("analyze tds_inbox_events"))
    engine.dispose()
    context = get_context("spawn")
    with context.Pool(workers) as pool:
        spans = pool.map(_drain, [database_url] * workers, chunksize=1)
    return items / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _drain(database_url: str) -> Sequence[float]:
    engine = make_engine(database_url, pool_size=1)
    begun_at = time.time()
    while True:
        with session_scope(engine) as session:
            if not session.execute(STEP, {"batch": BATCH}).rowcount:  # type: ignore[attr-defined]
                break
    ended_at = time.time()
    engine.dispose()
    return begun_at, ended_at
