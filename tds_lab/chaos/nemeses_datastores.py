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


def wipe_redis(arena: ChaosContext) -> Iterator[float]:
    """Redis forgets everything."""
    with arena.redis() as client:
        client.flushall()
    arena.counts["redis_wipes"] += 1
    yield 0.0


def stop_redis(arena: ChaosContext) -> Iterator[float]:
    """Redis is away for some seconds."""
    arena.server("Redis").stop()
    arena.counts["redis_stops"] += 1
    yield AWAY_SECONDS
    arena.server("Redis").start()


def kill_redis(arena: ChaosContext) -> Iterator[float]:
    """Redis dies and is started again."""
    _process(arena, "Redis").kill()
    arena.counts["redis_stops"] += 1
    yield AWAY_SECONDS


def freeze_redis(arena: ChaosContext) -> Iterator[float]:
    """Redis takes connections and answers nothing."""
    server = _process(arena, "Redis")
    server.suspend()
    arena.counts["redis_stops"] += 1
    yield FROZEN_SECONDS
    server.resume()


def make_redis_read_only(arena: ChaosContext) -> Iterator[float]:
    """Redis answers, and takes no write, as a replica after a failover."""
    _command(arena, "replicaof", "127.0.0.1", "1")
    arena.counts["redis_stops"] += 1
    yield AWAY_SECONDS
    _command(arena, "replicaof", "no", "one")


def fill_redis(arena: ChaosContext) -> Iterator[float]:
    """Redis answers, and has no room for a write."""
    _command(arena, "config", "set", "maxmemory", "1")
    arena.counts["redis_stops"] += 1
    yield AWAY_SECONDS
    _command(arena, "config", "set", "maxmemory", "256mb")


def restart_postgres(arena: ChaosContext) -> Iterator[float]:
    """PostgreSQL is restarted in order: transactions under way are cut off."""
    arena.server("PostgreSQL").stop()
    arena.counts["pg_restarts"] += 1
    yield 0.5
    arena.server("PostgreSQL").start()


def crash_postgres(arena: ChaosContext) -> Iterator[float]:
    """PostgreSQL ends without writing anything more, and recovers from its log."""
    _process(arena, "PostgreSQL").send_signal(signal.SIGQUIT)
    arena.counts["pg_restarts"] += 1
    yield AWAY_SECONDS


def cut_connections(arena: ChaosContext) -> Iterator[float]:
    """Every connection to PostgreSQL is ended by the server."""
    with arena.stage.engine.connect() as connection:
        arena.counts["connections_cut"] += connection.execute(CUT).scalar_one()
    yield 0.0


def _process(arena: ChaosContext, name: str) -> psutil.Process:
    pid = arena.server(name).pid
    if pid is None:
        raise psutil.NoSuchProcess(0)
    return psutil.Process(pid)


def _command(arena: ChaosContext, *words: str) -> None:
    with arena.redis() as client:
        execute: Any = client.execute_command
        execute(*words)
