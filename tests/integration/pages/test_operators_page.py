"""The page of operators and keys: made, changed and ended by administrators; one's own password and sessions by all."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.page_reader import PASSWORD, Pages, pages_of

PAGE = "/dashboard/operators"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    with pages_of(database, engine) as pages:
        yield pages


def test_an_operator_is_made_with_a_password_shown_once_changed_and_disabled(pages: Pages) -> None:
    made = pages.admin.press(PAGE, "POST operators", name="sara", role="viewer")
    password = re.search(r"<dt>password</dt><dd><bdi>([^<]+)</bdi>", made.text)[1]
    assert password not in pages.admin.get(PAGE).text
    client = pages.sender.app.test_client()
    assert client.post("/api/tds/session", json={"name": "sara", "password": password}).status_code == 201
    assert pages.admin.press(PAGE, "PATCH operators/sara", role="operator").status_code == 303
    assert pages.admin.press(f"{PAGE}/sara", "DELETE operators/sara/sessions").status_code == 303
    assert client.get("/api/tds/session").status_code == 401
    assert pages.admin.press(PAGE, "DELETE operators/sara").status_code == 303
    [sara] = [each for each in pages.admin.json(PAGE)["operators"] if each["name"] == "sara"]
    assert (sara["role"], sara["disabled_at"] is None) == ("operator", False)
    assert "sara" in pages.admin.get(PAGE, format="csv").text


def test_a_key_is_shown_once_and_revoked(pages: Pages) -> None:
    made = pages.admin.press(PAGE, "POST keys", name="reports", role="viewer", **{"scopes[]": "entities alerts"})
    key = re.search(r"<dt>key</dt><dd><bdi>([^<]+)</bdi>", made.text)[1]
    client = pages.sender.app.test_client()
    assert client.get("/api/tds/alerts", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    [shown] = pages.admin.json(PAGE)["keys"]
    assert shown["scopes"] == ["alerts", "entities"]
    assert key not in pages.admin.get(PAGE).text
    assert pages.admin.press(PAGE, f"DELETE keys/{shown['prefix']}").status_code == 303
    assert pages.admin.json(PAGE)["keys"] == []
    assert "the-admin" in pages.admin.get(PAGE, with_ended="true").text
    assert client.get("/api/tds/alerts", headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_a_viewer_sees_only_their_own_sessions_and_changes_their_password(pages: Pages) -> None:
    seen = pages.viewer.get(PAGE)
    assert seen.status_code == 200
    assert "this one" in seen.text
    assert "the-admin" not in seen.text
    assert not pages.viewer.offers(PAGE, "POST operators")
    changed = pages.viewer.press(
        PAGE, "PUT session/password", current_password=PASSWORD, new_password="a longer and newer one 7"
    )
    assert (changed.status_code, changed.location) == (303, "/api/tds/login?next=/dashboard/operators")
    login = {"name": "the-viewer", "password": "a longer and newer one 7"}
    assert pages.sender.app.test_client().post("/api/tds/session", json=login).status_code == 201


def test_a_wrong_password_is_said_and_not_repeated(pages: Pages) -> None:
    answer = pages.viewer.press(PAGE, "PUT session/password", current_password="guessed-wrong", new_password="x" * 20)
    assert (answer.status_code, "Not done" in answer.text) == (401, True)
    assert "guessed-wrong" not in answer.text


def test_acts_are_refused_to_others_and_without_a_token(pages: Pages) -> None:
    assert pages.operator.post("POST operators", _csrf="x", name="eve", role="admin").status_code == 403
    assert pages.admin.post("POST operators", name="eve", role="admin").status_code == 403
    assert len(pages.admin.json(PAGE)["operators"]) == 3
