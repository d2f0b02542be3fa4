"""Who holds a lock is shown: from where, since when, on which table, and whom it blocks; its values are not."""

import threading
from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import Engine

from tds_core.auth import api_keys
from tds_core.database_urls import without_driver
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import ScriptedSource, World, delivery, product

ID = "460000000000001"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def report(world: World, source: ScriptedSource, database: str) -> Iterator[psycopg2.extensions.connection]:
    """A program of others on the database, with the mirror's only product before it."""
    world.deliver(delivery("product", product()))
    world.drain("product")
    connection = psycopg2.connect(without_driver(database), application_name="monthly-report")
    yield connection
    connection.close()


def hold(report: psycopg2.extensions.connection, statement: str) -> None:
    with report.cursor() as cursor:
        cursor.execute(statement)


def test_whom_a_holder_blocks_is_shown_without_its_values(
    sender: Sender, report: psycopg2.extensions.connection, database: str
) -> None:
    hold(report, f"update erp.product set name = 'secret of ours' where source_id = '{ID}'")
    blocked = psycopg2.connect(without_driver(database), application_name="tds-worker")
    waiting = threading.Thread(target=_update, args=(blocked,))
    waiting.start()
    try:
        [holder] = _until_blocking(sender)
    finally:
        report.rollback()
        waiting.join(10)
        blocked.close()
    assert (holder["application"], holder["state"]) == ("monthly-report", "idle in transaction")
    assert holder["user"]
    assert holder["since"] <= holder["state_since"]
    assert holder["tables"] == {"erp.product": "rows written"}
    assert [each["application"] for each in holder["blocks"]] == ["tds-worker"]
    assert holder["statement"].startswith("update erp.product set name")
    assert "secret" not in str(holder)


def _update(connection: psycopg2.extensions.connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("update erp.product set version = version")
    connection.rollback()


def _until_blocking(sender: Sender) -> list[dict]:
    for _ in range(200):
        found = sender.get("/api/tds/locks").json
        if any(each["blocks"] for each in found):
            return [each for each in found if each["blocks"]]
        threading.Event().wait(0.05)
    raise AssertionError("nobody waits")


def test_a_holder_whose_work_was_put_off_is_shown_while_no_session_waits(
    world: World, sender: Sender, report: psycopg2.extensions.connection
) -> None:
    hold(report, "select name from erp.product for update")
    world.deliver(delivery("product", product(second=5, name="new")))
    world.drain("product")
    [holder] = sender.get("/api/tds/locks").json
    assert (holder["blocks"], holder["waiting_item_count"]) == ([], 1)
    assert holder["tables"] == {"erp.product": "rows locked"}
    report.rollback()
    assert sender.get("/api/tds/locks").json == []


def test_who_only_reads_is_in_nobodys_way(sender: Sender, report: psycopg2.extensions.connection) -> None:
    hold(report, "select name from erp.product")
    assert sender.get("/api/tds/locks").json == []
    hold(report, "lock table erp.product in access exclusive mode")
    [holder] = sender.get("/api/tds/locks").json
    assert holder["tables"] == {"erp.product": "nothing may read or write"}


def test_the_command_shows_them_and_the_way_out(
    world: World, report: psycopg2.extensions.connection, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tds = CommandLine(monkeypatch, capsys, columns=None)
    assert "none" in tds("locks").out
    hold(report, "select name from erp.product for update")
    world.deliver(delivery("product", product(second=5, name="new")))
    world.drain("product")
    said = tds("locks")
    assert (said.exit_code, "monthly-report" in said.out, "pg_terminate_backend" in said.out) == (0, True, True)
    [holder] = tds("locks", "--json").json
    assert (holder["application"], holder["waiting_item_count"]) == ("monthly-report", 1)


def test_a_viewer_is_not_shown_what_others_do_in_the_database(sender: Sender, engine: Engine) -> None:
    with session_scope(engine) as session:
        _, key = api_keys.create_key(session, name="y", role=Role.VIEWER, by="t")
    answer = sender.app.test_client().get("/api/tds/locks", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
