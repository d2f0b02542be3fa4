"""Going back promises: what a revision has no place for is told, set aside, and back after the next step forward."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, Table, text
from sqlalchemy.dialects import postgresql

from tds_core.auth import operators
from tds_core.invariants.verify import verify
from tds_core.schema.migrations import configuration_of, migrate, newest_revision
from tds_models.auth import Role
from tds_models.base import Base, mirror_metadata
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.database_role import superuser_url
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, delivery, invoice, product

TABLES: list[Table] = [*Base.metadata.sorted_tables, *mirror_metadata.sorted_tables]
REVISIONS = [each.revision for each in ScriptDirectory.from_config(configuration_of()).walk_revisions()]
OLDEST = REVISIONS[-1]
PASSWORD = "a long enough password"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def url(engine: Engine) -> str:
    """The address for who migrates: the owner, whichever role the test has."""
    return superuser_url(engine.url.render_as_string(hide_password=False))


def contents(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table."""
    with engine.connect() as connection:
        return {
            table.fullname: sorted(
                connection.execute(text(f"select to_jsonb(t)::text from {named(table)} t")).scalars()
            )
            for table in TABLES
        }


def named(table: Table) -> str:
    return f'"{table.schema or "public"}"."{table.name}"'


# What columns hold that may not hold anything.
SAID = {"role": "viewer", "state": "completed", "mode": "full", "verdict": "applied", "grain": "day"}


def value_for(column: Column[Any]) -> str:
    """Something the column takes, as SQL."""
    for key in column.foreign_keys:
        return f"(select {key.column.name} from {named(key.column.table)} limit 1)"
    if column.name in SAID:
        return f"'{SAID[column.name]}'"
    kind = column.type.compile(dialect=postgresql.dialect()).lower()
    if "[]" in kind or "array" in kind:
        return "'{}'"
    by_kind = {
        "multirange": "'{}'",
        "json": "'{}'",
        "timestamp": "now()",
        "date": "current_date",
        "bool": "true",
        "uuid": f"'{uuid.uuid4()}'",
    }
    by_kind |= {"int": "1", "numeric": "1", "double": "1", "float": "1", "bytea": "'\\x01'", "blob": "'\\x01'"}
    return next((said for part, said in by_kind.items() if part in kind), f"'{column.name}'")


def fill_the_empty(engine: Engine) -> None:
    """One row in each table that has none, whichever there are."""
    with engine.begin() as connection:
        for table in TABLES:
            if connection.execute(text(f"select exists (select from {named(table)})")).scalar():
                continue
            columns = [each for each in table.columns if each.identity is None and each.computed is None]
            names = ", ".join(f'"{each.name}"' for each in columns)
            values = ", ".join(map(value_for, columns))
            connection.execute(text(f"insert into {named(table)} ({names}) values ({values})"))


@pytest.fixture
def lived(world: World, source: ScriptedSource) -> World:
    """An installation that has mirrored and been used; every table holds something."""
    for second in range(3):
        world.deliver(delivery("product", product(second=second, rate=second, custom_field_hash={"cf_colour": "red"})))
        world.drain("product")
    world.deliver(delivery("invoice", invoice()))
    source.records["460000000000001"] = product(second=2, rate=2, custom_field_hash={"cf_colour": "red"})
    for entity in ("invoice", "product", "stock_level"):
        world.drain(entity)
    with session_scope(world.engine) as session:
        operators.create_operator(session, name="anna", role=Role.ADMIN, by="test", password=PASSWORD)
    return world


def broken(world: World) -> list[str]:
    with session_scope(world.engine) as session:
        return [each.name for each in verify(session) if each.violation_count]


def test_back_to_the_oldest_and_forward_again_everything_is_there(lived: World) -> None:
    before = broken(lived)
    fill_the_empty(lived.engine)
    stood = contents(lived.engine)
    back = migrate(url(lived.engine), OLDEST, may_lose=True)
    assert (back.revision, back.is_done) == (OLDEST, True)
    assert {"public.tds_operators", "erp.sales_order"} <= {loss.table for loss in back.losses}
    forward = migrate(url(lived.engine))
    assert forward.revision == newest_revision()
    assert contents(lived.engine) == stood
    assert lived.value("select count(*) from pg_namespace where nspname = 'tds_set_aside'") == 0
    assert before == []


def test_the_history_breaks_no_promise_afterwards_and_operators_log_in(lived: World) -> None:
    assert broken(lived) == []
    migrate(url(lived.engine), OLDEST, may_lose=True)
    migrate(url(lived.engine))
    lived.engine.dispose()
    assert broken(lived) == []
    with session_scope(lived.engine) as session:
        operators.change_own_password(session, "anna", current=PASSWORD, new=f"{PASSWORD} too")
    generation = lived.value("select nextval('tds_generation_seq')")
    lived.deliver(delivery("product", product(second=9)))
    assert lived.value("select max(generation) from tds_sync_queue where entity = 'product'") > generation


def test_step_by_step_back_and_forward_everything_is_there(lived: World) -> None:
    fill_the_empty(lived.engine)
    stood = contents(lived.engine)
    for revision in REVISIONS[1:]:
        assert migrate(url(lived.engine), revision, may_lose=True).revision == revision
    for revision in REVISIONS[-2::-1]:
        assert migrate(url(lived.engine), revision).revision == revision
    assert contents(lived.engine) == stood
    migrate(url(lived.engine), OLDEST, may_lose=True)  # at once, and forward step by step
    for revision in REVISIONS[-2::-1]:
        migrate(url(lived.engine), revision)
    assert contents(lived.engine) == stood
    assert lived.value("select count(*) from pg_namespace where nspname = 'tds_set_aside'") == 0


def test_even_from_before_the_first_tables_it_comes_back_and_no_number_is_given_twice(lived: World) -> None:
    stood, event = contents(lived.engine), lived.value("select nextval('tds_event_id_seq')")
    migrate(url(lived.engine), "base", may_lose=True)
    migrate(url(lived.engine))
    lived.engine.dispose()
    assert contents(lived.engine) == stood
    assert lived.value("select nextval('tds_event_id_seq')") > event
    lived.deliver(delivery("product", product(second=9)))
    lived.drain("product")
    assert len(lived.audit("product", "460000000000001")) > 3


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_what_would_be_lost_is_said_and_nothing_is_done_until_it_is_agreed_to(lived: World, revision: str) -> None:
    fill_the_empty(lived.engine)
    stood = contents(lived.engine)
    step = migrate(url(lived.engine), revision)
    if not step.losses:
        assert step.is_done
        return
    assert (step.is_done, step.revision) == (False, newest_revision())
    assert all(loss.row_count for loss in step.losses)
    assert contents(lived.engine) == stood


def test_the_command_says_what_goes_and_how_to_go_all_the_same(
    lived: World, call: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_MIGRATION_DATABASE_URL", url(lived.engine))
    said = call("migrate", "--revision", "0009")
    assert said.exit_code == 1
    assert "public.tds_operators: 1 rows" in said.out
    assert "tds migrate --revision 0009 --yes" in " ".join(said.errors.split())
    said = call("migrate", "--revision", "0009", "--yes")
    assert (said.exit_code, "revision 0009" in said.out) == (0, True)
    said = call("migrate")
    assert said.exit_code == 0
    assert "put back: public.tds_operators" in said.out
    assert lived.value("select count(*) from tds_operators") == 1


def test_what_holds_nothing_is_no_loss(database: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("delete from tds_audit_head"))
    step = migrate(superuser_url(database), OLDEST)
    assert (step.is_done, step.losses, step.revision) == (True, (), OLDEST)


def test_what_was_written_at_the_earlier_revision_stays_and_what_is_lost_meanwhile_stops_nothing(lived: World) -> None:
    migrate(url(lived.engine), OLDEST, may_lose=True)
    lived.engine.dispose()
    lived.execute("update erp.product set name = 'Changed there' where source_id = '460000000000001'")
    lived.execute("delete from tds_dead_letter_queue")
    migrate(url(lived.engine))
    lived.engine.dispose()
    row = lived.row("product", "460000000000001")
    assert (row["name"], row["custom_fields"]) == ("Changed there", {"cf_colour": "red"})


def test_two_passes_over_an_entity_and_a_slot_nobody_took_stop_no_step_back(synced: World, standin: StandIn) -> None:
    synced.execute(
        "insert into tds_sync_runs (source, entity, mode, state, requested_by, correlation_id) values"
        " ('zoho', 'product', 'full', 'queued', 'x', 'x'), ('zoho', 'product', 'incremental', 'running', 'x', 'x'),"
        " ('zoho', 'product', 'dry_run', 'queued', 'x', 'x'), ('zoho', 'customer', 'full', 'held', 'x', 'x')"
    )
    synced.execute("insert into tds_scheduled_jobs (name, cron, task, arguments, missed)"
                   " values ('j', 'every:60', 'measure', '{}', 'skip')")  # fmt: skip
    synced.execute("insert into tds_schedule_slots (job, slot_at, claimed_at) values ('j', now(), null)")
    assert migrate(url(synced.engine), OLDEST, may_lose=True).is_done
    migrate(url(synced.engine))
    synced.engine.dispose()
    states = [row["state"] for row in synced.rows("select state from tds_sync_runs order by id")]
    assert states == ["queued", "cancelled", "cancelled", "held"]


@pytest.fixture(autouse=True)
def fresh_connections(engine: Engine) -> Iterator[None]:
    """Statements that were prepared for the tables before are forgotten."""
    yield
    engine.dispose()
