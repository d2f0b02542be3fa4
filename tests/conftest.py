"""What tests stand on: a real PostgreSQL, a real Redis, a clean migrated database for each test that asks.

Servers start when the first test of a process asks for them, in under a second, so every pytest-xdist worker has
its own. TEST_DATABASE_URL and TEST_REDIS_URL name others; that database's server must let us create databases.
TEST_DATABASE_ROLE=tds_app runs every test with the rights of the application; see tests/support/database_role.py.

Worlds for tests of the core: with a source that is scripted, and with a stand-in for Zoho over HTTP.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis
from psycopg2 import sql
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.config.overrides import overrides
from tds_core.database_urls import with_driver, without_driver
from tds_core.schema.database_roles import OWNER
from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_models.db import make_engine, session_scope
from tests.support import database_role
from tests.support import world as worlds
from tests.support.hypothesis_effort import load_profile
from tests.support.standin import StandIn, serving
from tests.support.world import ScriptedSource, World

load_profile()


@pytest.fixture(autouse=True)
def no_overrides() -> Iterator[None]:
    """Settings that a test changed at run time are this process's, so no other test may find them."""
    yield
    overrides.replace({})


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A directory of this test process that every account may enter (pytest's own are private to one)."""
    memory = Path("/dev/shm")  # noqa: S108 (copying a database there takes a tenth of the time)
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3
    home = Path(tempfile.mkdtemp(prefix="tds-test-", dir=memory if roomy else None))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_home: Path) -> Iterator[str]:
    """The address of a PostgreSQL whose data nobody needs tomorrow."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield with_driver(given)
        return
    with EmbeddedPostgres(server_home, durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server_url(server_home: Path) -> Iterator[str]:
    """The address of a Redis; what is in it is wiped before each test that uses `redis_url`."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    with EmbeddedRedis(server_home, durable=False) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """The address of an empty Redis."""
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database that is only ever copied."""
    name = f"tds_template_{uuid.uuid4().hex[:8]}"
    _run(postgres_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    upgrade(_named(postgres_url, name))
    if database_role.is_app():
        database_role.give_roles(_named(postgres_url, name))
    yield name
    _run(postgres_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres_url: str, template_database: str) -> Iterator[str]:
    """The address of a migrated, empty database of this test's own."""
    with copied_database(postgres_url, template_database) as address:
        yield address


@contextmanager
def copied_database(postgres_url: str, template_database: str) -> Iterator[str]:
    """The address of a copy of the template, dropped when the block ends."""
    name = f"tds_test_{uuid.uuid4().hex[:12]}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY{}").format(
        sql.Identifier(name), sql.Identifier(template_database),
        sql.SQL(" OWNER {}").format(sql.Identifier(OWNER)) if database_role.is_app() else sql.SQL(""),
    )  # fmt: skip
    _run(postgres_url, copy)
    url = _named(postgres_url, name)
    yield database_role.with_role(url) if database_role.is_app() else url
    _run(postgres_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """The address of a database without any table."""
    name = f"tds_empty_{uuid.uuid4().hex[:8]}"
    _run(postgres_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield _named(postgres_url, name)
    _run(postgres_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on this test's own database."""
    engine = make_engine(database, pool_size=10)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session in one transaction that is committed when the test ends well."""
    with session_scope(engine) as session:
        yield session


def _named(url: str, database: str) -> str:
    return f"{url.rpartition('/')[0]}/{database}"


def _run(url: str, statement: sql.Composable) -> None:
    connection = psycopg2.connect(without_driver(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path) -> Iterator[World]:
    """This process's tasks on this test's database."""
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), {}) as world:
        yield world


@pytest.fixture
def source(world: World, monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    """What tasks ask in place of Zoho."""
    return worlds.script(monkeypatch, ScriptedSource())


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A small organisation of this test's own."""
    with serving() as standin:
        yield standin


@pytest.fixture
def synced(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path, standin: StandIn
) -> Iterator[World]:
    """This process's tasks on this test's database, reading `standin` in pages of ten."""
    monkeypatch.setattr("tds_core.sources.zoho.client.PAGE_SIZE", 10)
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), standin.settings) as world:
        yield world
