"""A third peer of the drain: the statements of a message queue in PostgreSQL as pgmq has them, a hundred messages at a
time: read what is visible and hide it for a while, upsert the bodies, delete the messages.
"""

import json
import time
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from typing import Any

from sqlalchemy import text

from tds_models.db import make_engine, session_scope

BATCH, HIDDEN_SECONDS = 100, 30
TABLES = (
    """create table benchmark_messages (msg_id bigint primary key generated always as identity,
        read_ct int not null default 0, enqueued_at timestamptz not null default now(),
        vt timestamptz not null default now(), message jsonb)""",
    "create index on benchmark_messages (vt)",
    "create table benchmark_pgmq (source_id text primary key, record jsonb not null)",
)
SEND = text("insert into benchmark_messages (message) select * from unnest(cast(:messages as jsonb[]))")
READ = text("""
with visible as (
    select msg_id from benchmark_messages where vt <= clock_timestamp() order by msg_id limit :batch
    for update skip locked
)
update benchmark_messages m set vt = clock_timestamp() + make_interval(secs => :hidden), read_ct = read_ct + 1
from visible where m.msg_id = visible.msg_id returning m.msg_id, m.message
""")
UPSERT = text("""
insert into benchmark_pgmq select m ->> 'contact_id', m from unnest(cast(:messages as jsonb[])) m
on conflict (source_id) do update set record = excluded.record
""")
DELETE = text("delete from benchmark_messages where msg_id = any(:ids)")


def per_second(database_url: str, records: Sequence[Mapping[str, Any]], *, workers: int) -> float:
    """Records a second by so many processes."""
    engine = make_engine(database_url, pool_size=1)
    with session_scope(engine) as session:
        for statement in TABLES:
            session.execute(text(statement))
        session.execute(SEND, {"messages": [json.dumps(record) for record in records]})
    with session_scope(engine) as session:
        session.execute(text("analyze benchmark_messages"))
    engine.dispose()
    with get_context("spawn").Pool(workers) as pool:
        spans = pool.map(_drain, [database_url] * workers, chunksize=1)
    return len(records) / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _drain(database_url: str) -> tuple[float, float]:
    engine = make_engine(database_url, pool_size=1)
    begun_at = time.time()
    while True:
        with session_scope(engine) as session:
            read = session.execute(READ, {"batch": BATCH, "hidden": HIDDEN_SECONDS}).all()
        if not read:
            break
        with session_scope(engine) as session:
            session.execute(UPSERT, {"messages": [json.dumps(row.message) for row in read]})
            session.execute(DELETE, {"ids": [row.msg_id for row in read]})
    engine.dispose()
    return begun_at, time.time()
