"""Sessions are seen and ended: by an administrator those of anybody, by an operator their own, by nobody else's key."""

from collections.abc import Iterator
from functools import partial

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from tds_core.auth import api_keys, operators, sessions
from tds_core.auth.sessions import Lifetime, NewSession
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import World

PASSWORD = "correct horse battery"
OF_ANN, OWN = "/api/tds/operators/ann/sessions", "/api/tds/sessions"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with session_scope(engine) as session:
        for name, role in (("boss", Role.ADMIN), ("ann", Role.VIEWER), ("bob", Role.OPERATOR)):
            operators.create_operator(session, name=name, role=role, by="test", password=PASSWORD)
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def log_in(engine: Engine, name: str, address: str = "10.0.0.1") -> NewSession:
    scope = partial(session_scope, engine)
    return sessions.log_in(scope, name=name, password=PASSWORD, lifetime=Lifetime(3600, 86_400), address=address)


def browser(sender: Sender, begun: NewSession) -> tuple[FlaskClient, dict[str, str]]:
    client = sender.app.test_client()
    client.set_cookie("tds_session", begun.token)
    return client, {"X-CSRF-Token": sessions.csrf_token(begun.token)}


def test_an_administrator_sees_where_somebody_is_logged_in(sender: Sender, engine: Engine) -> None:
    begun = [log_in(engine, "ann", address) for address in ("10.0.0.1", "10.0.0.2")]
    log_in(engine, "bob")
    found = sender.get(OF_ANN)
    assert sorted(each["remote_address"] for each in found.json) == ["10.0.0.1", "10.0.0.2"]
    assert not any(each["is_current"] for each in found.json)
    assert all(each["began_at"] <= each["last_used_at"] < each["ends_at"] for each in found.json)
    assert not any(each.token in found.text for each in begun), "nothing that is shown opens anything"
    assert sender.get("/api/tds/operators/nobody/sessions").status_code == 404


def test_sessions_that_ended_by_themselves_are_not_shown(sender: Sender, engine: Engine) -> None:
    for _ in range(3):
        log_in(engine, "ann")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "update tds_operator_sessions set last_used_at = now() - interval '1 year'"
            " where ctid = (select min(ctid) from tds_operator_sessions)"
        )
        connection.exec_driver_sql(
            "update tds_operator_sessions set ends_at = now()"
            " where ctid = (select min(ctid) from tds_operator_sessions)"
        )
    assert len(sender.get(OF_ANN).json) == 1


def test_an_administrator_ends_one_and_the_others_go_on(sender: Sender, engine: Engine) -> None:
    ended, other = log_in(engine, "ann", "10.0.0.1"), log_in(engine, "ann", "10.0.0.2")
    shown = {each["remote_address"]: each["id"] for each in sender.get(OF_ANN).json}
    client = sender.app.test_client()
    assert client.delete(f"{OF_ANN}/{shown['10.0.0.1']}", headers=ADMIN).status_code == 204
    assert browser(sender, ended)[0].get("/api/tds/session").status_code == 401
    assert browser(sender, other)[0].get("/api/tds/session").status_code == 200
    again = client.delete(f"{OF_ANN}/{shown['10.0.0.1']}", headers=ADMIN)
    assert (again.status_code, "tds operators sessions ann" in again.json["detail"]) == (404, True)
    of_another = client.delete(f"/api/tds/operators/bob/sessions/{shown['10.0.0.2']}", headers=ADMIN)
    assert of_another.status_code == 404, "an id ends only a session of the operator it is asked of"


def test_all_are_ended_at_once_and_that_is_written_down(sender: Sender, engine: Engine) -> None:
    begun = [log_in(engine, "ann"), log_in(engine, "ann")]
    kept = log_in(engine, "bob")
    ended = sender.app.test_client().delete(OF_ANN, headers=ADMIN)
    assert (ended.status_code, ended.json) == (200, {"ended_count": 2})
    assert [browser(sender, each)[0].get("/api/tds/session").status_code for each in (*begun, kept)] == [401, 401, 200]
    written = sender.rows("select subject from tds_operator_actions where operation = 'sessions.end_all'")
    assert len(written) == 2
    assert all("ann" in row.subject for row in written)


def test_one_sees_and_ends_ones_own_and_no_others(sender: Sender, engine: Engine) -> None:
    here, there, bobs = log_in(engine, "ann"), log_in(engine, "ann", "10.0.0.2"), log_in(engine, "bob")
    client, csrf = browser(sender, here)
    shown = client.get(OWN).json
    assert sorted((each["remote_address"], each["is_current"]) for each in shown) == [
        ("10.0.0.1", True), ("10.0.0.2", False),
    ]  # fmt: skip
    assert client.get("/api/tds/operators/bob/sessions").status_code == 403
    bobs_id = sender.get("/api/tds/operators/bob/sessions").json[0]["id"]
    assert client.delete(f"{OWN}/{bobs_id}", headers=csrf).status_code == 404
    assert client.delete(OWN).status_code == 403, "not without the CSRF token"
    ended = client.delete(f"{OWN}?keep_current=true", headers=csrf)
    assert ended.json == {"ended_count": 1}
    states = [browser(sender, each)[0].get("/api/tds/session").status_code for each in (here, there, bobs)]
    assert states == [200, 401, 200]
    own_id = client.get(OWN).json[0]["id"]
    last = client.delete(f"{OWN}/{own_id}", headers=csrf)
    assert (last.status_code, "tds_session=;" in last.headers["Set-Cookie"]) == (204, True)
    assert browser(sender, here)[0].get("/api/tds/session").status_code == 401


def test_keys_have_no_sessions_and_scoped_ones_end_none(sender: Sender, engine: Engine) -> None:
    with session_scope(engine) as session:
        _, scoped = api_keys.create_key(session, name="x", role=Role.ADMIN, by="t", scopes=["operators"])
        _, viewer = api_keys.create_key(session, name="y", role=Role.VIEWER, by="t")
    client = sender.app.test_client()
    log_in(engine, "ann")
    assert client.delete(OF_ANN, headers={"Authorization": f"Bearer {scoped}"}).status_code == 403
    for method in (client.get, client.delete):
        assert method(OF_ANN, headers={"Authorization": f"Bearer {viewer}"}).status_code == 403
        own = method(OWN, headers={"Authorization": f"Bearer {viewer}"})
        assert (own.status_code, "log in first" in own.json["detail"]) == (409, True)
    assert len(sender.get(OF_ANN).json) == 1


def test_the_command_shows_and_ends_them(sender: Sender, engine: Engine, tds: CommandLine) -> None:
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        log_in(engine, "ann", address)
    found = tds("operators", "sessions", "ann", "--json").json
    assert len(found) == 3
    assert "10.0.0.2" in tds("operators", "sessions", "ann").out
    said = tds("operators", "sessions", "ann", "--end", found[0]["id"])
    assert (said.exit_code, "1 session was ended" in said.out) == (0, True)
    assert tds("operators", "sessions", "ann", "--end-all", "--json").json == {"ended_count": 2}
    assert tds("operators", "sessions", "ann", "--json").json == []
    wrong = tds("operators", "sessions", "ann", "--end", "x", "--end-all")
    assert (wrong.exit_code, "not both" in wrong.errors) == (2, True)
    nobody = tds("operators", "sessions", "nobody")
    assert (nobody.exit_code, "no operator" in nobody.errors) == (1, True)
