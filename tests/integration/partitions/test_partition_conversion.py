"""Conversion promises: every row stays, who writes meanwhile loses nothing, hardly waits, and there is a way back."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from tds_core import partitions
from tds_core.schema import partition_conversion
from tds_core.schema.database_roles import APP, RoleLogins
from tds_core.schema.migrations import migrate
from tds_models.db import Timeouts, make_engine, session_scope
from tds_models.partitions import PARTITIONED
from tests.support.database_role import PASSWORD, give_roles, superuser_url, with_role

LOGS = PARTITIONED["tds_sync_logs"]
BEFORE = "0041"
FILL = """
insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, correlation_id, ended_at)
select 'zoho', 'product', n::text, n, 1, 'updated', 'c', now() - n * interval '1 minute'
from generate_series(1, :count) n
"""
SAMPLES = """
insert into tds_metrics (name, subject, at, value)
select 'backlog', '', now() - n * interval '1 minute', n from generate_series(1, :count) n
"""
CONTENTS = "select md5(string_agg(t::text, ',' order by t::text)) from {} t"


@pytest.fixture
def plain(database: str) -> Iterator[Engine]:
    """An engine, with all rights, on a database whose tables are not partitioned yet."""
    url = superuser_url(database)
    migrate(url, BEFORE, may_lose=True)
    engine = make_engine(url, pool_size=3, timeouts=Timeouts(statement=60))
    yield engine
    engine.dispose()


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def value(engine: Engine, statement: str, **params: object) -> object:
    with engine.begin() as connection:
        result = connection.execute(text(statement), params)
        return result.scalar() if result.returns_rows else None


def named(engine: Engine) -> list[str]:
    with session_scope(engine) as session:
        return [each.name for each in partitions.list_partitions(session, LOGS)]


def test_a_full_table_becomes_the_first_partition_as_it_is(plain: Engine) -> None:
    value(plain, FILL, count=2000)
    value(plain, SAMPLES, count=2000)
    contents = {table: value(plain, CONTENTS.format(table)) for table in PARTITIONED}
    file = value(plain, "select pg_relation_filenode('tds_sync_logs')")
    last_id = value(plain, "select max(id) from tds_sync_logs")
    migrate(url_of(plain))
    assert {table: value(plain, CONTENTS.format(table)) for table in PARTITIONED} == contents
    assert value(plain, "select pg_relation_filenode('tds_sync_logs_earlier')") == file, "it was copied"
    ends_at = value(plain, "select clock_timestamp()") + partition_conversion.MARGIN  # type: ignore[operator]
    with session_scope(plain) as session:
        [earlier] = [each for each in partitions.list_partitions(session, LOGS) if each.name == LOGS.earlier]
    assert earlier.ends_at == LOGS.span_of(ends_at)[1]
    value(plain, FILL, count=1)
    assert value(plain, "select max(id) from tds_sync_logs") == last_id + 1, "ids go on"  # type: ignore[operator]
    left = "select count(*) from pg_constraint where conname like 'ck_tds_%_earlier'"
    assert value(plain, left) == 0, "the constraint would refuse rows one day"


def test_an_empty_table_is_partitioned_from_now_on(plain: Engine) -> None:
    migrate(url_of(plain))
    assert LOGS.earlier not in named(plain)
    assert named(plain)[0] == LOGS.default


def test_without_preparation_it_is_as_right(plain: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    value(plain, FILL, count=500)
    contents = value(plain, CONTENTS.format("tds_sync_logs"))
    monkeypatch.setattr(partition_conversion, "prepare", lambda _engine: [])
    migrate(url_of(plain))
    assert value(plain, CONTENTS.format("tds_sync_logs")) == contents
    assert LOGS.earlier in named(plain)


def test_rows_of_a_time_to_come_do_not_stop_it(plain: Engine) -> None:
    value(plain, FILL, count=1)
    value(plain, "update tds_sync_logs set ended_at = now() + interval '60 days'")
    migrate(url_of(plain))
    write_now = "select tableoid::regclass::text from tds_sync_logs"
    assert value(plain, write_now) == LOGS.earlier


def test_what_an_interrupted_preparation_left_is_done_again(plain: Engine) -> None:
    value(plain, FILL, count=100)
    soon = LOGS.span_of(value(plain, "select now()"))[1]  # type: ignore[arg-type]
    value(plain, f"alter table tds_sync_logs add constraint ck_tds_sync_logs_earlier check (ended_at < '{soon}')")
    value(plain, "create unique index uq_tds_sync_logs_partitioned on tds_sync_logs (id, ended_at)")
    assert sorted(partition_conversion.prepare(plain)) == ["tds_sync_logs"]
    migrate(url_of(plain))
    with session_scope(plain) as session:
        [earlier] = [each for each in partitions.list_partitions(session, LOGS) if each.name == LOGS.earlier]
    assert earlier.ends_at is not None
    assert earlier.ends_at > soon + timedelta(days=6)


def test_a_preparation_that_fails_leaves_no_constraint(plain: Engine) -> None:
    value(plain, FILL, count=100)
    value(plain, "alter table tds_sync_logs drop constraint pk_tds_sync_logs")
    value(plain, "insert into tds_sync_logs overriding system value select * from tds_sync_logs")  # twice the same key
    with pytest.raises(Exception, match="could not create unique index"):
        partition_conversion.prepare(plain)
    assert value(plain, "select count(*) from pg_constraint where conname like 'ck_tds_%_earlier'") == 0


@dataclass
class Writer:
    """Writes lines without a pause until it is stopped."""

    engine: Engine
    written: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        statement = FILL.replace("n::text", ":id").replace(" - n * interval '1 minute'", "")
        while not self.stopping.is_set():
            name, began = f"w{len(self.written)}", time.monotonic()
            try:
                value(self.engine, statement, id=name, count=1)
            except Exception as error:
                self.errors.append(str(error))
            else:
                self.written.append(name)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)


def while_writing(engine: Engine, work: Callable[[], object]) -> Writer:
    writer = Writer(engine)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        work()
        time.sleep(0.2)
    finally:
        writer.stopping.set()
        thread.join()
    return writer


def test_who_writes_meanwhile_loses_nothing(plain: Engine) -> None:
    value(plain, FILL, count=30_000)
    writer = while_writing(plain, lambda: migrate(url_of(plain)))
    assert writer.errors == []
    found = value(plain, "select count(*) from tds_sync_logs where source_id like 'w%'")
    assert found == len(writer.written) > 20
    assert writer.longest_seconds < 15


def test_who_reads_for_long_delays_it_and_stops_nobody(plain: Engine) -> None:
    value(plain, FILL, count=100)
    with plain.connect() as reader:
        reader.execute(text("select count(*) from tds_sync_logs"))
        threading.Timer(2.0, reader.rollback).start()
        writer = while_writing(plain, lambda: migrate(url_of(plain)))
    assert writer.errors == []
    assert writer.longest_seconds < 15
    assert LOGS.earlier in named(plain)


def test_the_way_back_keeps_every_row(plain: Engine) -> None:
    value(plain, FILL, count=1000)
    migrate(url_of(plain))
    value(plain, FILL.replace("- n * interval '1 minute'", "+ n * interval '1 day'"), count=40)
    contents = value(plain, CONTENTS.format("tds_sync_logs"))
    assert len(named(plain)) > 3
    back = migrate(url_of(plain), BEFORE)
    assert (back.is_done, back.losses) == (True, ())
    assert value(plain, CONTENTS.format("tds_sync_logs")) == contents
    assert value(plain, "select relkind from pg_class where oid = 'tds_sync_logs'::regclass") == "r"
    key = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'pk_tds_sync_logs'"
    assert value(plain, key) == "PRIMARY KEY (id)"
    migrate(url_of(plain))
    assert value(plain, CONTENTS.format("tds_sync_logs")) == contents


def test_rights_stay_and_the_application_has_those_it_needs(plain: Engine) -> None:
    url = url_of(plain)
    logins = RoleLogins(app_url=with_role(url), reader_password=PASSWORD)
    value(plain, FILL, count=10)
    migrate(url, logins=logins)
    value(plain, "grant select on tds_sync_logs to pg_monitor")
    migrate(url, BEFORE)
    migrate(url, logins=logins)
    grants = "select has_table_privilege('pg_monitor', 'tds_sync_logs', 'select')"
    assert value(plain, grants), "somebody's own right of reading"
    owners = "select distinct pg_get_userbyid(relowner) from pg_class where relname like 'tds_sync_logs%'"
    assert value(plain, owners) == "tds_owner"


def test_the_application_adds_and_drops_what_it_does_not_own(database: str) -> None:
    url = superuser_url(database)
    give_roles(url)
    engine = make_engine(with_role(url, APP))
    with session_scope(engine) as session:
        old = LOGS.span_of(session.execute(text("select now()")).scalar_one() - timedelta(days=50))
        assert partitions.add_partition(session, LOGS, old)
    value(engine, FILL.replace("now()", "cast(:old as timestamptz) + interval '1 day'"), count=5, old=old[0])
    assert value(engine, f"select count(*) from {LOGS.partition(old[0])}") == 5
    owner = "select pg_get_userbyid(relowner) from pg_class where relname = :name"
    assert value(engine, owner, name=LOGS.partition(old[0])) == "tds_owner"
    with pytest.raises(Exception, match="must be owner"):
        value(engine, f"drop table {LOGS.partition(old[0])}")
    with session_scope(engine) as session:
        found = {each.name: each for each in partitions.list_partitions(session, LOGS)}
        assert partitions.drop_partition(session, found[LOGS.partition(old[0])]).is_dropped
        partitions.analyze(session, LOGS)
    assert value(engine, "select count(*) from tds_sync_logs") == 0
    engine.dispose()
