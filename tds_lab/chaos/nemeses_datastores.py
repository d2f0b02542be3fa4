"""Nemeses of the stores: Redis forgets, stands still, dies or refuses; PostgreSQL restarts, crashes or hangs up."""

import signal
from collections.abc import Iterator
from typing import Any

import psutil
from sqlalchemy import text

from tds_lab.chaos.context import ChaosContext

AWAY_SECONDS = 3.0
FROZEN_SECONDS = 6.0  # longer than any client waits for an answer

CUT = text("""
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'tds-%'
""")


def wipe_redis(context: ChaosContext) -> Iterator[float]:
    """Redis forgets everything."""
    with context.redis() as client:
        client.flushall()
    context.counts["redis_wipes"] += 1
    yield 0.0


def stop_redis(context: ChaosContext) -> Iterator[float]:
    """Redis is away for some seconds."""
    context.server("Redis").stop()
    context.counts["redis_stops"] += 1
    yield AWAY_SECONDS
    context.server("Redis").start()


def kill_redis(context: ChaosContext) -> Iterator[float]:
    """Redis dies and is started again."""
    _process(context, "Redis").kill()
    context.counts["redis_stops"] += 1
    yield AWAY_SECONDS


def freeze_redis(context: ChaosContext) -> Iterator[float]:
    """Redis takes connections and answers nothing."""
    server = _process(context, "Redis")
    server.suspend()
    context.counts["redis_stops"] += 1
    yield FROZEN_SECONDS
    server.resume()


def make_redis_read_only(context: ChaosContext) -> Iterator[float]:
    """Redis answers, and takes no write, as a replica after a failover."""
    _command(context, "replicaof", "127.0.0.1", "1")
    context.counts["redis_stops"] += 1
    yield AWAY_SECONDS
    _command(context, "replicaof", "no", "one")


def fill_redis(context: ChaosContext) -> Iterator[float]:
    """Redis answers, and has no room for a write."""
    _command(context, "config", "set", "maxmemory", "1")
    context.counts["redis_stops"] += 1
    yield AWAY_SECONDS
    _command(context, "config", "set", "maxmemory", "256mb")


def restart_postgres(context: ChaosContext) -> Iterator[float]:
    """PostgreSQL is restarted in order: transactions under way are cut off."""
    context.server("PostgreSQL").stop()
    context.counts["pg_restarts"] += 1
    yield 0.5
    context.server("PostgreSQL").start()


def crash_postgres(context: ChaosContext) -> Iterator[float]:
    """PostgreSQL ends without writing anything more, and recovers from its log."""
    _process(context, "PostgreSQL").send_signal(signal.SIGQUIT)
    context.counts["pg_restarts"] += 1
    yield AWAY_SECONDS


def cut_connections(context: ChaosContext) -> Iterator[float]:
    """Every connection to PostgreSQL is ended by the server."""
    with context.environment.engine.connect() as connection:
        context.counts["connections_cut"] += connection.execute(CUT).scalar_one()
    yield 0.0


def _process(context: ChaosContext, name: str) -> psutil.Process:
    pid = context.server(name).pid
    if pid is None:
        raise psutil.NoSuchProcess(0)
    return psutil.Process(pid)


def _command(context: ChaosContext, *words: str) -> None:
    with context.redis() as client:
        execute: Any = client.execute_command
        execute(*words)
