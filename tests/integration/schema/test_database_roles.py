"""Roles promise: the application cannot change history or switch its triggers, and the reader sees no secret."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from sqlalchemy import text

from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_core.database_urls import without_driver
from tds_core.errors import ConfigError
from tds_core.schema import database_roles, migrations
from tds_core.schema.database_roles import APP, OWNER, READABLE, READER, RoleLogins
from tds_models.base import Base, mirror_metadata
from tds_models.db import make_engine
from tests.conftest import copied_database
from tests.support.database_role import PASSWORD, give_roles, superuser_url, with_role

HISTORY = (*SEALED_TABLES, "tds_audit_seals", "tds_configuration", "tds_statements")
REFUSED = psycopg2.errors.InsufficientPrivilege


@pytest.fixture
def owned(database: str) -> str:
    """The superuser's address of a database whose roles are set up."""
    url = superuser_url(database)
    give_roles(url)
    return url


@pytest.fixture(scope="module")
def unchanged(postgres_url: str, template_database: str) -> Iterator[str]:
    """The same for tests whose statements are refused."""
    with copied_database(postgres_url, template_database) as url:
        give_roles(superuser_url(url))
        yield superuser_url(url)


@contextmanager
def cursor_of(url: str, role: str) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(without_driver(with_role(url, role)))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def refuses(url: str, role: str, statement: str) -> None:
    with cursor_of(url, role) as cursor, pytest.raises(REFUSED):
        cursor.execute(statement)


def test_every_history_table_is_among_those_tried(unchanged: str) -> None:
    with cursor_of(unchanged, APP) as cursor:
        cursor.execute("select distinct tgrelid::regclass::text from pg_trigger t join pg_proc p on p.oid = tgfoid"
                       " where proname = 'tds_refuse_change'")  # fmt: skip
        assert {table for (table,) in cursor.fetchall()} == set(HISTORY)


@pytest.mark.parametrize("table", HISTORY)
def test_the_application_cannot_change_history(unchanged: str, table: str) -> None:
    with cursor_of(unchanged, APP) as cursor:
        cursor.execute("select column_name from information_schema.columns where table_name = %s"
                       " and is_identity = 'NO'", (table,))  # fmt: skip
        column = cursor.fetchone()[0]
        cursor.execute(f"select count(*) from {table}")
    refuses(unchanged, APP, f'update {table} set "{column}" = "{column}"')
    refuses(unchanged, APP, f"delete from {table}")
    refuses(unchanged, APP, f"begin; set local tds.retiring = '{table}'; delete from {table}")
    refuses(unchanged, APP, f"truncate {table}")
    refuses(unchanged, APP, f"alter table {table} disable trigger all")
    refuses(unchanged, APP, f"alter table {table} add column more int")
    refuses(unchanged, APP, f"drop table {table}")


@pytest.mark.parametrize(
    "statement",
    [
        "set session_replication_role = replica", f"set role {OWNER}", "create table mine (id int)",
        "drop trigger tds_audit_trail_append_only on tds_audit_trail", "alter role tds_app superuser",
        "create or replace function tds_refuse_change() returns trigger language plpgsql as 'begin return old; end'",
        "update alembic_version set version_num = '0001'",
    ],
)  # fmt: skip
def test_the_application_cannot_switch_off_what_protects_history(unchanged: str, statement: str) -> None:
    refuses(unchanged, APP, statement)


def test_retirement_takes_no_row_that_no_old_seal_covers(unchanged: str) -> None:
    with cursor_of(unchanged, APP) as cursor, pytest.raises(psycopg2.errors.RestrictViolation, match="younger than 30"):
        cursor.execute("select tds_retire_history('tds_audit_trail', 1000)")
    with cursor_of(unchanged, APP) as cursor, pytest.raises(psycopg2.errors.RestrictViolation):
        cursor.execute("select tds_retire_history('tds_operators', 1)")
    refuses(unchanged, READER, "select tds_retire_history('tds_audit_trail', 1)")
    refuses(unchanged, READER, "select tds_freeze_history()")


def test_the_application_erases_from_history_and_does_nothing_else_to_it(owned: str) -> None:
    erase = "select tds_erase_history('tds_audit_trail', 'changes', array[1::bigint], array[%s])"
    with cursor_of(owned, APP) as cursor:
        cursor.execute("insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin,"
                       " correlation_id) values ('zoho', 'customer', '1', 1, 'created',"
                       " '{\"email\": [null, \"a@b.example\"], \"terms\": [null, 30]}', 'run', 'c')")  # fmt: skip
        for content in ('{"email": [null, "c@d.example"], "terms": [null, 30]}',
                        '{"email": [null, "a@b.example"], "terms": [null, 60]}',
                        '{"email": [null, "(erased)"], "terms": [null, 30], "more": 1}'):  # fmt: skip
            with pytest.raises(psycopg2.errors.RestrictViolation, match="more than what stood there"):
                cursor.execute(erase, (content,))
        for table, column in (("tds_audit_trail", "operation"), ("tds_audit_seals", "note"), ("tds_findings", "kind")):
            with pytest.raises(psycopg2.errors.RestrictViolation, match="nothing is erased"):
                cursor.execute("select tds_erase_history(%s, %s, '{1}', '{x}')", (table, column))
        cursor.execute(erase, ('{"email": [null, "(erased)"], "terms": [null, 30]}',))
        cursor.execute("select changes, operation from tds_audit_trail")
        assert cursor.fetchall() == [({"email": [None, "(erased)"], "terms": [None, 30]}, "created")]
    refuses(owned, APP, "begin; set local tds.erasing = 'tds_audit_trail'; update tds_audit_trail set changes = '{}'")
    refuses(owned, READER, erase.replace("%s", "'{}'"))


def test_the_application_reads_and_writes_everything_else(unchanged: str) -> None:
    names = [table.fullname for table in [*Base.metadata.sorted_tables, *mirror_metadata.sorted_tables]]
    with cursor_of(unchanged, APP) as cursor:
        for name in names:
            wanted = "select, insert" if name in HISTORY else "select, insert, update, delete"
            for privilege in wanted.split(", "):
                cursor.execute("select has_table_privilege(%s, %s)", (name, privilege))
                assert cursor.fetchone() == (True,), f"{privilege} on {name}"


def test_the_reader_sees_the_mirror_and_no_secret(unchanged: str) -> None:
    with cursor_of(unchanged, READER) as cursor:
        for table in [*(each.fullname for each in mirror_metadata.sorted_tables), *READABLE]:
            cursor.execute(f"select * from {table} limit 1")
    hidden = {table.fullname for table in Base.metadata.sorted_tables} - set(READABLE)
    for table in ("tds_source_tokens", "tds_operators", "tds_operator_sessions", "tds_api_keys", "tds_audit_seal_keys",
                  "tds_alert_channels", "tds_subscriptions", "tds_inbox_events", "tds_consents"):  # fmt: skip
        assert table in hidden
    for table in sorted(hidden):
        refuses(unchanged, READER, f"select * from {table}")


def test_the_reader_cannot_write(unchanged: str) -> None:
    for statement in (
        "insert into erp.product (source_id) values ('1')",
        "delete from erp.product",
        "create table x ()",
    ):
        with cursor_of(unchanged, READER) as cursor, pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.execute(statement)
        refuses(unchanged, READER, f"begin read write; {statement}")


def test_what_is_set_up_twice_changes_nothing_the_second_time(owned: str) -> None:
    engine = make_engine(owned)
    logins = RoleLogins(app_url=with_role(owned))
    with engine.begin() as connection:
        assert database_roles.set_up(connection, logins) == [f"alter role {APP} login password '***'"]
        assert database_roles.act_as_owner(connection) == OWNER
        assert database_roles.grant(connection) == []
    engine.dispose()


def test_tables_of_later_migrations_have_rights_and_new_history_is_history(owned: str) -> None:
    engine = make_engine(owned)
    with engine.begin() as connection:
        assert database_roles.act_as_owner(connection) == OWNER
        for statement in ("create table tds_later (id bigint generated always as identity)",
                          "create table erp.later (id int)", "create table tds_later_history (id int)",
                          "create table tds_later_secrets (id int)",
                          "create trigger a before update or delete on tds_later_history"
                          " for each row execute function tds_refuse_change()"):  # fmt: skip
            connection.execute(text(statement))
        database_roles.grant(connection)
    engine.dispose()
    with cursor_of(owned, APP) as cursor:
        cursor.execute(
            "insert into tds_later default values; update tds_later set id = default; insert into erp.later values (1)"
        )
        cursor.execute("insert into tds_later_history values (1)")
    refuses(owned, APP, "delete from tds_later_history")
    refuses(owned, APP, "update tds_later_history set id = 2")
    refuses(owned, READER, "select * from tds_later_secrets")
    with cursor_of(owned, READER) as cursor:
        cursor.execute("select * from erp.later")


def test_rights_over_history_that_somebody_was_given_end_with_the_next_migration(owned: str) -> None:
    with _owner(owned) as cursor:
        cursor.execute("grant all on tds_audit_trail to tds_app; grant delete on tds_statements to public")
    migrations.upgrade(owned)
    refuses(owned, APP, "delete from tds_audit_trail")
    refuses(owned, READER, "begin read write; delete from tds_statements")


@contextmanager
def _owner(url: str) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(without_driver(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def test_an_owner_that_is_no_superuser_makes_and_unmakes_every_table(postgres_url: str) -> None:
    name = f"tds_owned_{os.getpid()}"
    with _owner(postgres_url) as cursor:
        cursor.execute(f"create database {name}")
    url = f"{postgres_url.rpartition('/')[0]}/{name}"
    try:
        give_roles(url)
        with _owner(url) as cursor:
            cursor.execute(f"alter role {OWNER} login password '{PASSWORD}'")
        owner = with_role(url, OWNER)
        assert migrations.migrate(owner, "base", may_lose=True).revision is None
        assert migrations.upgrade(owner, logins=RoleLogins(app_url=with_role(url))) == migrations.newest_revision()
        refuses(url, APP, "delete from tds_audit_trail")
        with _owner(url) as cursor:
            cursor.execute("select distinct tableowner from pg_tables where schemaname in ('public', 'erp')")
            assert cursor.fetchall() == [(OWNER,)]
            cursor.execute(f"alter role {OWNER} nologin")
    finally:
        with _owner(postgres_url) as cursor:
            cursor.execute(f"drop database {name} with (force)")


@pytest.mark.parametrize(
    ("app", "says"),
    [
        (OWNER, "owns history"), ("tds", "a superuser"), ("somebody", "grant tds_app to"),
    ],
)  # fmt: skip
def test_an_application_with_more_rights_is_refused(unchanged: str, app: str, says: str) -> None:
    engine = make_engine(unchanged)
    with engine.begin() as connection, pytest.raises(ConfigError, match=says):
        database_roles.set_up(connection, RoleLogins(app_url=with_role(unchanged, app)))
    engine.dispose()


def test_who_may_not_create_roles_is_told_who_should(owned: str) -> None:
    with _owner(owned) as cursor:
        cursor.execute("drop role if exists tds_small")
        cursor.execute(f"create role tds_small login password '{PASSWORD}'")
    engine = make_engine(with_role(owned, "tds_small"))
    with engine.begin() as connection, pytest.raises(ConfigError, match="superuser run it once: tds database roles"):
        database_roles.set_up(connection, RoleLogins(app_url=with_role(owned)))
    engine.dispose()


def tds(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tds_api.cli", *arguments],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_commands_make_roles_and_say_what_they_did(postgres_url: str, tmp_path: object) -> None:
    name = f"tds_command_{os.getpid()}"
    with _owner(postgres_url) as cursor:
        cursor.execute(f"create database {name}")
    url = f"{postgres_url.rpartition('/')[0]}/{name}"
    environ = {"TDS_HOME": str(tmp_path), "TDS_DATABASE_URL": with_role(url), "TDS_MIGRATION_DATABASE_URL": url}
    try:
        waited = tds("migrate", "--wait", "1", **{**environ, "TDS_DATABASE_URL": url})
        assert (waited.returncode, "has no tables after 1 s" in waited.stderr) == (4, True)
        shown = tds("database", "roles", "--dry-run", **environ)
        assert shown.returncode == 0, shown.stderr
        assert f'alter database "{name}" owner to tds_owner;' in shown.stdout
        assert PASSWORD not in shown.stdout
        migrated = tds("migrate", **environ)
        assert migrated.returncode == 0, migrated.stderr
        refuses(url, APP, "delete from tds_audit_trail")
        waited = tds("migrate", "--wait", "1", **environ)
        assert (waited.returncode, f"revision {migrations.newest_revision()}" in waited.stdout) == (0, True)
        done = tds("database", "roles", "--json", **environ)
        assert json.loads(done.stdout) == {"statements": ["alter role tds_app login password '***'"], "changed": True}
        same = tds("database", "roles", **{**environ, "TDS_DATABASE_URL": url})
        assert (same.returncode, "name the same role" in same.stderr) == (2, True)
    finally:
        with _owner(postgres_url) as cursor:
            cursor.execute(f"drop database {name} with (force)")
