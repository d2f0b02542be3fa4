"""Who reads the mirror again and again is sent what changed, and is told in a line that nothing did."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event
from werkzeug.test import TestResponse

from tests.support.webhook_sender import TOKEN, Sender, sender_for

ROW, ROWS = "/api/tds/entities/invoice/1", "/api/tds/entities/invoice?limit=2"


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        write(
            sender,
            "insert into erp.invoice (source, source_id, number, version, source_record)"
            " select 'zoho', n::text, 'x', 1, '{}' from generate_series(1, 3) n",
            "insert into erp.invoice_line (source, parent_id, position, line_id) values ('zoho', '1', 0, 'a')",
        )
        yield sender


def write(sender: Sender, *statements: str) -> None:
    with sender.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def ask(sender: Sender, path: str, tag: str = "") -> TestResponse:
    headers = {"Authorization": f"Bearer {TOKEN}", **({"If-None-Match": tag} if tag else {})}
    return sender.app.test_client().get(path, headers=headers)


@pytest.mark.parametrize("path", [ROW, ROWS])
def test_what_is_at_hand_is_not_sent_again(sender: Sender, path: str) -> None:
    first = ask(sender, path)
    tag = first.headers["ETag"]
    again = ask(sender, path, tag)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert ask(sender, path, f'"another", {tag}').status_code == 304
    assert ask(sender, path, '"another"').json == first.json
    assert "private" in first.headers["Cache-Control"]


@pytest.mark.parametrize("path", [ROW, ROWS])
@pytest.mark.parametrize("change", [
    "update erp.invoice set number = 'y', version = 2 where source_id = '1'",
    "update erp.invoice set confirmed_at = now() where source_id = '1'",  # no new version, but it is shown
    "update erp.invoice set deleted_at = now() where source_id = '1'",
])  # fmt: skip
def test_every_change_that_shows_is_sent(sender: Sender, path: str, change: str) -> None:
    before = ask(sender, path)
    write(sender, change)
    after = ask(sender, path, before.headers["ETag"])
    assert after.status_code == 200
    assert after.json != before.json


def test_a_page_changes_when_rows_come_or_another_page_is_asked_for(sender: Sender) -> None:
    tag = ask(sender, ROWS).headers["ETag"]
    assert ask(sender, "/api/tds/entities/invoice?limit=3", tag).status_code == 200
    write(sender, "insert into erp.invoice (source, source_id, version) values ('zoho', '0', 1)")
    assert ask(sender, ROWS, tag).status_code == 200


def test_what_is_not_there_has_no_tag(sender: Sender) -> None:
    absent = ask(sender, "/api/tds/entities/invoice/9", "*")
    assert (absent.status_code, "ETag" in absent.headers) == (404, False)


@pytest.mark.parametrize("path", [ROW, ROWS])
def test_no_record_is_read_for_who_has_it(sender: Sender, path: str) -> None:
    tag = ask(sender, path).headers["ETag"]
    asked: list[str] = []
    event.listen(sender.app.extensions["tds"].engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert ask(sender, path, tag).status_code == 304
    reading = [statement for statement in asked if "erp.invoice" in statement]
    assert len(reading) == 1
    assert "source_record" not in reading[0] and "number" not in reading[0]
