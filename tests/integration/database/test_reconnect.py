"""PostgreSQL restarted, cut off, failed over or out of connections: a process goes on by itself and says so once."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from structlog.testing import capture_logs

from tds_core.database_errors import is_away
from tds_core.database_urls import without_driver
from tds_core.observability.outages import database, watch_database
from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres
from tds_models.db import make_engine, session_scope
from tests.support.database_role import superuser
from tests.support.webhook_sender import sender_for, wrapped

WRITE = "insert into notes values (:n)"


@pytest.fixture
def own_postgres(server_home: Path) -> Iterator[EmbeddedPostgres]:
    home = server_home / "own"
    home.mkdir(mode=0o755)
    with EmbeddedPostgres(home, durable=False) as server:
        yield server
    shutil.rmtree(home)


def watched(url: str, **more: Any) -> Engine:
    engine = make_engine(url, ping=False, **more)
    watch_database(engine)
    return engine


def write(engine: Engine, number: int = 0) -> None:
    with session_scope(engine) as session:
        if session.execute(text("select to_regclass('notes')")).scalar() is None:
            session.execute(text("create table notes (n int)"))
        session.execute(text(WRITE), {"n": number})


def fails(engine: Engine) -> bool:
    try:
        write(engine)
    except DBAPIError as error:
        assert is_away(error)
        return True
    return False


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return holds()


def told(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if line["event"].startswith("database_")]


def test_a_restart_is_reported_once_and_outlived_by_every_engine_of_a_process(own_postgres: EmbeddedPostgres) -> None:
    engines = [watched(own_postgres.url) for _ in range(2)]
    for engine in engines:
        write(engine)
    with capture_logs() as lines:
        own_postgres.stop()
        assert all(fails(engine) for engine in engines * 3)
        own_postgres.start()
        assert all(eventually(lambda engine=engine: not fails(engine)) for engine in engines)
    assert told(lines) == ["database_lost", "database_back"]
    for engine in engines:
        engine.dispose()


def test_a_restart_nobody_noticed_meanwhile_is_reported_once_too(own_postgres: EmbeddedPostgres) -> None:
    engines = [watched(own_postgres.url) for _ in range(2)]
    for engine in engines:
        write(engine)
    own_postgres.stop()
    own_postgres.start()
    with capture_logs() as lines:
        assert [[fails(engine), fails(engine)] for engine in engines] == [[True, False]] * 2
    assert told(lines) == ["database_lost", "database_back"]
    for engine in engines:
        engine.dispose()


def test_connections_that_were_cut_are_made_anew(database: str) -> None:
    engine = watched(database, application="tds-cut")
    with superuser(engine) as session:
        session.execute(text("create table notes (n int); grant all on notes to public"))
    write(engine)
    other = make_engine(database)
    with session_scope(other) as session:
        session.execute(
            text("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tds-cut'")
        )
    with capture_logs() as lines:
        assert [fails(engine), fails(engine)] == [True, False]
    assert told(lines) == ["database_lost", "database_back"]
    for each in (engine, other):
        each.dispose()


@pytest.fixture
def standby(own_postgres: EmbeddedPostgres, server_home: Path) -> Iterator[EmbeddedPostgres]:
    """A second server that follows the first: a copy of its files, and its address."""
    home, port = server_home / "standby", psycopg2.extensions.parse_dsn(without_driver(own_postgres.url))
    engine = make_engine(own_postgres.url)
    write(engine)
    engine.dispose()
    own_postgres.stop()
    subprocess.run(["cp", "-a", str(server_home / "own"), str(home)], check=True)
    data = home / "postgres" / "data"
    (data / "standby.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"primary_conninfo = 'host={port['host']} port={port['port']} user={port['user']}"
            f" password={port['password']}'\n"
        )
    (home / "postgres" / "port").unlink()
    own_postgres.start()
    with EmbeddedPostgres(home, durable=False) as server:
        yield server
    shutil.rmtree(home)


def both(first: str, second: str) -> str:
    """One address of two servers, as libpq spells it."""
    one, two = (psycopg2.extensions.parse_dsn(without_driver(url)) for url in (first, second))
    hosts = ",".join(f"{each['host']}:{each['port']}" for each in (one, two))
    return f"postgresql://{one['user']}:{one['password']}@{hosts}/{one['dbname']}?target_session_attrs=read-write"


def promote(server: EmbeddedPostgres) -> None:
    connection = psycopg2.connect(without_driver(server.url))
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_promote()")
    connection.close()


def test_after_a_failover_writes_go_to_the_new_primary_by_themselves(
    own_postgres: EmbeddedPostgres, standby: EmbeddedPostgres
) -> None:
    engine = watched(both(standby.url, own_postgres.url))  # the standby stands first and is passed over
    write(engine, 1)
    reader = make_engine(standby.url)

    def notes() -> list[int]:
        with session_scope(reader) as session:
            return list(session.execute(text("select n from notes order by n")).scalars())

    assert eventually(lambda: notes() == [0, 1])
    with capture_logs() as lines:
        own_postgres.stop()
        assert fails(engine)
        promote(standby)
        assert eventually(lambda: not fails(engine))
    assert told(lines) == ["database_lost", "database_back"]
    assert set(notes()) == {0, 1}
    for each in (engine, reader):
        each.dispose()


def test_a_server_that_became_a_standby_is_left_as_one_that_ended(
    own_postgres: EmbeddedPostgres, standby: EmbeddedPostgres
) -> None:
    engine = watched(standby.url)
    with capture_logs() as lines:
        with pytest.raises(OperationalError) as refused, session_scope(engine) as session:
            session.execute(text("create table never (n int)"))
        assert is_away(refused.value)
        assert refused.value.connection_invalidated, "the connection was kept"
        promote(standby)
        assert eventually(lambda: not fails(engine))
    assert told(lines) == ["database_lost", "database_back"]
    engine.dispose()


def test_an_api_whose_connections_are_all_taken_says_so_once_and_takes_webhooks_all_the_same(database: str) -> None:
    engine = make_engine(database)
    with sender_for(database, engine) as sender, capture_logs() as lines:
        context = sender.app.extensions["tds"]
        context.engine.pool._timeout = 0.05
        taken = [context.engine.connect() for _ in range(context.engine.pool.size())]
        answers = [sender.get("/api/tds/queue") for _ in range(3)]
        assert {(each.status_code, each.json["code"]) for each in answers} == {(503, "database_unavailable")}
        assert sender.send(wrapped("1")).status_code == 202
        for each in taken:
            each.close()
        assert sender.get("/api/tds/queue").status_code == 200
    assert told(lines) == ["database_pool_exhausted"]
    engine.dispose()


def test_the_whole_of_tds_lives_on_an_address_of_two_hosts(own_postgres: EmbeddedPostgres) -> None:
    other = own_postgres.url.replace("127.0.0.1", "127.0.0.2")  # nobody answers there
    address = both(other, own_postgres.url)
    upgrade(address)
    engine = make_engine(address)
    with sender_for(address, engine) as sender:
        assert sender.send(wrapped("1")).status_code == 202
        assert sender.count("tds_inbox_events") == 1
    engine.dispose()


@pytest.fixture(autouse=True)
def nothing_is_lost() -> Iterator[None]:
    """Every test begins and ends with the database there."""
    database.end()
    yield
    assert not database.is_on
