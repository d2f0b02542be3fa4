"""Migrations promise: from nothing to the newest and back, and the tables are what the models say."""

import os
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, text

from tds_core.errors import ConfigError
from tds_core.schema.migrations import scripts_directory, upgrade
from tds_models.base import Base, mirror_metadata
from tds_models.db import make_engine
from tds_models.entities import ENTITIES
from tds_models.partitions import is_partition
from tests.support.database_role import superuser_url

HOME = scripts_directory()


@pytest.fixture
def empty(empty_database: str) -> str:
    """The address of a database without any table."""
    return empty_database


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


def is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Our schemas, and of partitioned tables the whole."""
    return name in (None, "erp") if kind == "schema" else not is_partition(name or "")


def test_the_tables_are_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": is_compared,
                "compare_type": True,
            },
        )
        assert compare_metadata(context, [Base.metadata, mirror_metadata]) == []  # type: ignore[arg-type]


def test_a_migration_made_now_would_be_empty(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=HOME.parent, env={**os.environ, "TDS_DATABASE_URL": database}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_alembic_needs_no_argument_but_its_command(empty: str) -> None:
    def alembic(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *command],
            cwd=HOME.parent, env={**os.environ, "TDS_DATABASE_URL": empty}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    alembic("upgrade", "head")
    newest = ScriptDirectory(str(HOME)).get_current_head()
    assert alembic("current").strip() == f"{newest} (head)"
    assert f"-> {newest} (head)" in alembic("history")
    assert "No new upgrade operations detected" in alembic("check")


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


def test_the_schema_of_a_newer_version_stays_as_it_is(database: str) -> None:
    engine = make_engine(superuser_url(database))
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    assert upgrade(database) == "9999"
    with pytest.raises(CommandError, match="9999"):
        upgrade(database, "0041")
    engine.dispose()


def test_two_that_migrate_at_once_wait_for_each_other(empty: str) -> None:
    code = "import sys; from tds_core.schema.migrations import upgrade; upgrade(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, empty]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]


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


def test_tables_of_another_program_are_not_touched_and_named(empty: str) -> None:
    engine = make_engine(empty)
    with engine.begin() as connection:
        connection.execute(text("create schema erp"))
        connection.execute(text("create table erp.product (id int)"))
        connection.execute(text("create table public.tds_sync_queue (status text)"))
        connection.execute(text("create table public.tds_sync_logs as select 1 as id"))
    with pytest.raises(
        ConfigError, match=r"erp.product, public.tds_sync_logs, public.tds_sync_queue. Nothing was changed"
    ):
        upgrade(empty)
    with engine.begin() as connection:
        tables = connection.execute(text("select relname from pg_class where relname like 'tds%' and relkind = 'r'"))
        assert sorted(tables.scalars()) == ["tds_sync_logs", "tds_sync_queue"]
        indexes = "select indexrelid from pg_index where indrelid::regclass::text like 'tds%'"
        assert connection.execute(text(indexes)).all() == []
        connection.execute(text("create schema legacy; alter table erp.product set schema legacy"))
        for name in ("tds_sync_queue", "tds_sync_logs"):
            connection.execute(text(f"alter table public.{name} set schema legacy"))
    assert upgrade(empty)
    engine.dispose()
