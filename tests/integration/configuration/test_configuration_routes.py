"""The configuration over HTTP: administrators see every setting and change the settable ones; secrets stay secret."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from tds_core.auth import api_keys
from tds_core.config.settings import DECLARATIONS, SETTABLE
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.configuring import configure
from tests.support.webhook_sender import SECRET, TOKEN, Sender, sender_for

PATH, KEY = "/api/tds/configuration", "TDS_GUARD_PERCENT"


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_GUARD_PERCENT="7") as sender:
        yield sender


def put(sender: Sender, body: Any, key: str = KEY, *, token: str = TOKEN) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return sender.app.test_client().put(f"{PATH}/{key}", json=body, headers=headers)


def test_every_setting_is_listed_with_what_a_page_needs_of_it(sender: Sender) -> None:
    rows = {row["key"]: row for row in sender.get(PATH).json}
    assert list(rows) == list(DECLARATIONS)
    assert rows[KEY] == {
        "key": KEY, "group": "Work", "kind": "integer", "unit": "percent", "takes": "integer from 0 to 100",
        "low": 0, "high": 100, "choices": [], "meaning": DECLARATIONS[KEY].meaning, "value": 7, "environment_value": 7,
        "environment_source": "environment", "default": 5, "source": "environment", "version": 0, "changed_at": None,
        "changed_by": None, "reason": None, "is_settable": True, "needs_restart": False,
    }  # fmt: skip
    assert (rows["TDS_WORKERS"]["is_settable"], rows["TDS_WORKERS"]["needs_restart"]) == (False, True)
    assert [row["key"] for row in sender.get(PATH, settable="true").json] == list(SETTABLE)
    assert len(sender.get(PATH, settable="false").json) == len(DECLARATIONS) - len(SETTABLE)


def test_no_secret_is_shown(sender: Sender) -> None:
    text = sender.get(PATH).text + sender.get(f"{PATH}/ZOHO_WEBHOOK_SECRET").text
    assert SECRET not in text
    assert TOKEN not in text
    assert sender.get(f"{PATH}/ZOHO_WEBHOOK_SECRET").json["value"] == "********"


def test_a_change_is_in_force_at_once_where_it_was_made_and_has_its_story(sender: Sender) -> None:
    changed = put(sender, {"value": 12, "version": 0, "reason": "new prices"})
    assert changed.status_code == 200
    story = changed.json
    assert (story["value"], story["environment_value"], story["source"], story["version"]) == (12, 7, "changed", 1)
    assert (story["changed_by"], story["reason"]) == ("token", "new prices")
    assert sender.app.extensions["tds"].settings.guard_percent == 12
    assert put(sender, {"value": None, "reason": "back"}).json["value"] == 7
    story = sender.get(f"{PATH}/guard_percent").json
    assert [(each["value_before"], each["value"], each["reason"]) for each in story["versions"]] == [
        (12, None, "back"), (None, 12, "new prices"),
    ]  # fmt: skip
    assert (story["source"], story["version"], story["changed_at"] is None) == ("environment", 2, False)


def test_who_looked_at_an_earlier_version_is_refused(sender: Sender) -> None:
    assert put(sender, {"value": 12, "version": 0}).status_code == 200
    stale = put(sender, {"value": 13, "version": 0})
    assert (stale.status_code, stale.json["code"]) == (409, "stale_configuration")
    assert sender.get(f"{PATH}/{KEY}").json["value"] == 12


@pytest.mark.parametrize(("value", "says"), [
    (101, "from 0 to 100"), ("many", "integer from 0 to 100"), (True, "integer"), ([1], "integer"), ({}, "integer"),
    ("5\0", "integer"),
])  # fmt: skip
def test_a_bad_value_is_refused_with_the_bounds(sender: Sender, value: Any, says: str) -> None:
    refused = put(sender, {"value": value})
    assert (refused.status_code, refused.json["code"]) == (422, "invalid_configuration")
    assert says in refused.json["detail"]
    assert sender.count("tds_configuration") == 0


def test_what_is_missing_unknown_or_read_at_the_start_is_said(sender: Sender) -> None:
    assert put(sender, {"reason": "no value"}).status_code == 422
    assert put(sender, {"value": 5, "reason": ""}).status_code == 422
    assert put(sender, {"value": 5, "version": -1}).status_code == 422
    unknown = put(sender, {"value": 5}, "TDS_GUARD_PERCNT")
    assert (unknown.status_code, KEY in unknown.json["detail"]) == (404, True)
    assert sender.get(f"{PATH}/nothing-like-it").status_code == 404
    at_start = put(sender, {"value": 5}, "TDS_WORKERS")
    assert (at_start.status_code, "process starts" in at_start.json["detail"]) == (422, True)


def test_only_administrators_may_look_or_change_and_each_change_is_in_the_log(sender: Sender) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        with session_scope(sender.engine) as session:
            _, token = api_keys.create_key(session, name=role.value, role=role, by="test")
        assert put(sender, {"value": 50}, token=token).status_code == 403
        answer = sender.app.test_client().get(PATH, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
    assert put(sender, {"value": 50, "reason": "prices"}).status_code == 200
    done = sender.rows(
        "select operation, subject, detail ->> 'value', detail ->> 'reason' from tds_operator_actions"
        " where outcome = 'done'"
    )
    assert [tuple(row) for row in done] == [("configuration.change", f"configuration/{KEY}", "50", "prices")]


def test_the_history_of_all_settings_is_paged(sender: Sender) -> None:
    configure(sender.engine, guard_percent=10, guard_records=5)
    configure(sender.engine, guard_percent=11)
    page = sender.get(f"{PATH}/history", limit=2).json
    rest = sender.get(f"{PATH}/history", limit=2, cursor=page["next_cursor"]).json
    assert [each["value"] for each in page["items"]] + [each["value"] for each in rest["items"]] == [11, 5, 10]
    assert rest["next_cursor"] is None
    only = sender.get(f"{PATH}/history", key="guard_records").json["items"]
    assert [(each["key"], each["value"]) for each in only] == [("TDS_GUARD_RECORDS", 5)]
    assert sender.get(f"{PATH}/history", key="guard_recrods").status_code == 404
    assert sender.get(f"{PATH}/history", cursor="x").status_code == 400
