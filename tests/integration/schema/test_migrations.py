"""Migrations promise: from nothing to the newest and back, and the tables are what the models say."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

import migrations
from tds_core.schema.migrations import upgrade
from tds_models.base import Base, mirror_metadata
from tds_models.db import make_engine
from tds_models.entities import ENTITIES

HOME = Path(migrations.__file__).parent


@pytest.fixture
def empty(postgres_url: str) -> Iterator[str]:
    """The address of a database without any table."""
    name = f"tds_empty_{uuid.uuid4().hex[:8]}"
    admin = make_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield f"{postgres_url.rpartition('/')[0]}/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


def config(url: str) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(HOME))
    settings.set_main_option("path_separator", "os")
    settings.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return settings


def everything(engine: Engine) -> set[str]:
    """Every table, view, index, function, sequence and trigger of ours."""
    with engine.connect() as connection:
        found = connection.execute(
            text("""
            select 'relation ' || c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('public', 'erp') and c.relname not like 'alembic%'
            union all select 'function ' || p.oid::regprocedure::text from pg_proc p
            join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('public', 'erp')
            union all select 'trigger ' || tgname from pg_trigger where not tgisinternal
            union all select 'schema ' || nspname from pg_namespace where nspname = 'erp'""")
        )
        return set(found.scalars())


def test_from_nothing_to_the_newest_and_back_to_nothing(empty: str) -> None:
    engine = make_engine(empty)
    before = everything(engine)
    command.upgrade(config(empty), "head")
    there = everything(engine)
    command.downgrade(config(empty), "base")
    assert everything(engine) == before
    command.upgrade(config(empty), "head")
    assert everything(engine) == there
    engine.dispose()


def test_each_step_can_be_taken_back_on_its_own(empty: str) -> None:
    settings = config(empty)
    engine = make_engine(empty)
    steps = [script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()][::-1]
    for revision in steps:
        before = everything(engine)
        command.upgrade(settings, revision)
        command.downgrade(settings, "-1")
        assert everything(engine) == before, revision
        command.upgrade(settings, revision)
    engine.dispose()


def test_there_is_one_newest_migration() -> None:
    assert len(ScriptDirectory.from_config(config("x")).get_heads()) == 1


def test_the_tables_are_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, parents: kind != "schema" or name in (None, "erp"),
                "compare_type": True,
            },
        )
        assert compare_metadata(context, [Base.metadata, mirror_metadata]) == []  # type: ignore[arg-type]


def test_a_migration_made_now_would_be_empty(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", "setup.cfg", "check"],
        cwd=HOME.parent, env={**os.environ, "TDS_DATABASE_URL": database}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_entity_has_its_table_and_its_lines(engine: Engine) -> None:
    with engine.connect() as connection:
        found = set(
            connection.execute(
                text("select table_name from information_schema.tables where table_schema = 'erp'")
            ).scalars()
        )
    expected = {entity.table.name for entity in ENTITIES.values()}
    expected |= {table.name for entity in ENTITIES.values() for table in entity.line_tables.values()}
    assert found == expected


def test_migrating_a_migrated_database_changes_nothing(database: str) -> None:
    engine = make_engine(database)
    before = everything(engine)
    upgrade(database)
    assert everything(engine) == before
    engine.dispose()


def test_two_that_migrate_at_once_wait_for_each_other(empty: str) -> None:
    code = "import sys; from tds_core.schema.migrations import upgrade; upgrade(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, empty]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]


def test_the_installed_package_brings_its_migrations() -> None:
    declared = (HOME.parent / "setup.cfg").read_text()
    assert "migrations = script.py.mako, env.py, versions/*.py" in declared
    assert {path.name for path in HOME.iterdir()} >= {"env.py", "script.py.mako", "versions", "__init__.py"}


def test_empty_text_of_before_becomes_null_and_the_rest_stays(empty: str) -> None:
    engine = make_engine(empty)
    command.upgrade(config(empty), "0018")
    with engine.begin() as connection:
        connection.execute(
            text("""
            insert into erp.product (source, source_id, name, sku, unit, version, custom_fields) values
                ('zoho', '1', 'Bolt', '', ' ', 1, '{"cf_a": "", "cf_b": " x", "cf_c": true, "cf_d": null}'),
                ('zoho', '2', 'Nut', 'N', 'pcs', 1, '{"cf_a": " "}'), ('zoho', '3', '', null, '', 1, null)""")
        )
        connection.execute(
            text("insert into erp.invoice (source, source_id, number, version) values ('zoho', '1', 'I', 1)")
        )
        connection.execute(
            text("""insert into erp.invoice_line (source, parent_id, position, line_id, sku, name, rate)
                    values ('zoho', '1', 0, '', '', 'a  b', 1.50)""")
        )
    command.upgrade(config(empty), "0019")
    with engine.connect() as connection:
        rows = connection.execute(text("select name, sku, unit, custom_fields from erp.product order by source_id"))
        assert [tuple(row) for row in rows] == [
            ("Bolt", None, None, {"cf_b": " x", "cf_c": True}),
            ("Nut", "N", "pcs", None),
            (None, None, None, None),
        ]
        line = connection.execute(text("select line_id, sku, name, rate::text from erp.invoice_line")).one()
        assert tuple(line) == (None, None, "a  b", "1.50")
    command.downgrade(config(empty), "0018")
    engine.dispose()
