"""The audit log has changes of records beside actions of operators, in one order of time, page by page."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

AUDIT = "/api/tds/audit"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    """Changes at full minutes of an hour, actions at every second one of them; two of each at one moment."""
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id,
                recorded_at)
            select 'zoho', (array['product', 'invoice'])[1 + n %% 2], (n %% 4)::text, 1 + n / 4, 'updated',
                '{"price": ["1.10", 1.20]}', 'webhook', 'c' || n,
                '2026-11-01T12:00Z'::timestamptz + n * interval '1 min'
            from generate_series(0, 19) n""")
        connection.exec_driver_sql("""
            insert into tds_operator_actions (recorded_at, caller, caller_kind, role, operation, subject, entity,
                source_ids, outcome, correlation_id)
            select '2026-11-01T12:00Z'::timestamptz + n * interval '2 min', (array['ann', 'bob'])[1 + n %% 2],
                'operator', 'operator', 'syncs.sync', 'x', case when n %% 2 = 0 then 'product' end,
                array[(n %% 4)::text], 'done', 'a' || n
            from generate_series(0, 9) n""")
    with sender_for(database, engine) as sender:
        yield sender


def walk(sender: Sender, limit: int, **filters: str) -> list[dict[str, Any]]:
    """All entries, page by page."""
    found: list[dict[str, Any]] = []
    page = sender.get(AUDIT, limit=limit, **filters).json
    found += page["items"]
    while page["next_cursor"]:
        assert len(page["items"]) == limit
        page = sender.get(AUDIT, limit=limit, cursor=page["next_cursor"], **filters).json
        found += page["items"]
    return found


@pytest.mark.parametrize("limit", [1, 3, 7, 500])
def test_both_kinds_come_in_the_order_of_time_and_none_twice(sender: Sender, limit: int) -> None:
    found = walk(sender, limit)
    places = [(each["recorded_at"], each["kind"] == "action", int(each["id"])) for each in found]
    assert places == sorted(places, reverse=True)
    assert len({(each["kind"], each["id"]) for each in found}) == len(found) == 30


@pytest.mark.parametrize(("filters", "changes", "actions"), [
    ({"kind": "change"}, 20, 0),
    ({"kind": "action"}, 0, 10),
    ({"entity": "product"}, 10, 5),
    ({"entity": "invoice"}, 10, 0),
    ({"entity": "bill"}, 0, 0),
    ({"entity": "product", "source_id": "2"}, 5, 2),
    ({"source_id": "1"}, 5, 3),
    ({"operator": "ann"}, 0, 5),
    ({"caller": "bob"}, 0, 5),
    ({"operation": "syncs.sync"}, 0, 10),
    ({"since": "2026-11-01T12:10:00Z"}, 10, 5),
    ({"until": "2026-11-01T12:10:00Z"}, 10, 5),
    ({"since": "2026-11-01T12:05:00Z", "until": "2026-11-01T12:06:00Z", "kind": "change"}, 1, 0),
])  # fmt: skip
def test_entries_are_filtered(sender: Sender, filters: dict[str, str], changes: int, actions: int) -> None:
    kinds = [each["kind"] for each in walk(sender, 4, **filters)]
    assert (kinds.count("change"), kinds.count("action")) == (changes, actions)


def test_a_change_says_what_changed_exactly_and_an_action_who_did_it(sender: Sender) -> None:
    change = sender.get(AUDIT, kind="change", limit=1)
    assert '"changes":{"price": ["1.10", 1.20]}' in change.text.replace('"changes": ', '"changes":')
    [entry] = change.json["items"]
    assert (entry["entity"], entry["source_id"], entry["version"], entry["origin"]) == ("invoice", "3", 5, "webhook")
    [action] = sender.get(AUDIT, kind="action", limit=1).json["items"]
    assert (action["caller"], action["operation"], action["outcome"]) == ("bob", "syncs.sync", "done")


def test_changes_of_an_operator_are_no_question_and_said_so(sender: Sender) -> None:
    answer = sender.get(AUDIT, kind="change", operator="ann")
    assert (answer.status_code, "kind=action" in answer.json["detail"]) == (422, True)
    assert sender.get(AUDIT, kind="else").status_code == 422
    assert sender.get(AUDIT, cursor="WzFd").status_code == 400


def test_a_page_of_changes_reads_no_more_than_pages_of_each_entity(engine: Engine, sender: Sender) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id,
                recorded_at)
            select 'zoho', case when n > 10 then 'product' else 'vendor' end, 'x' || n, 1, 'created', '{}', 'run', 'r',
                '2026-10-01T12:00Z'::timestamptz + n * interval '1 s' from generate_series(1, 50000) n""")
        connection.exec_driver_sql("analyze tds_audit_trail")
    assert [each["source_id"] for each in sender.get(AUDIT, entity="vendor", limit=1).json["items"]] == ["x10"]
    asked: list[tuple[str, Any]] = []
    reading = sender.app.extensions["tds"].engine
    event.listen(reading, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    for filters in ({}, {"entity": "product"}, {"until": "2026-10-01T13:00:00Z"}):
        asked.clear()
        sender.get(AUDIT, kind="change", limit=5, **filters)
        [(statement, values)] = [each for each in asked if "tds_audit_trail" in each[0]]
        with engine.connect() as connection:
            plan = "\n".join(connection.exec_driver_sql(f"explain analyze {statement}", values).scalars())
        read = max(float(rows) for rows in re.findall(r"tds_audit_trail .*actual time=\S+ rows=([\d.]+)", plan))
        assert ("ix_tds_audit_trail_newest" in plan, read <= 6) == (True, True), plan


def test_a_viewer_or_an_operator_is_refused(sender: Sender, engine: Engine) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        with session_scope(engine) as session:
            _, key = api_keys.create_key(session, name=role.value, role=role, by="t")
        answer = sender.app.test_client().get(AUDIT, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403


def test_the_command_shows_both(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys, columns=None)
    assert len(tds("audit", "log", "--json").json) == 30
    assert {each["kind"] for each in tds("audit", "log", "--by", "ann", "--json").json} == {"action"}
    assert len(tds("audit", "log", "--kind", "change", "--entity", "product", "--id", "2", "--json").json) == 5
    shown = tds("audit", "log").out
    assert ("syncs.sync" in shown, "version 5" in shown) == (True, True)
