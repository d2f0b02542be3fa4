"""Keys, operators and sessions: what opens, what no longer does, and that nothing kept opens anything."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tds_core.auth import action_log, api_keys, idempotency, operators, sessions
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.idempotency import KeyReusedError, RequestInProgressError, ResponseNotStoredError, StoredResponse
from tds_core.auth.principal import (
    InvalidArgumentError,
    LastAdminError,
    LoginRefusedError,
    OperatorExistsError,
    Principal,
    UnauthorizedError,
    shell,
)
from tds_core.auth.sessions import Lifetime, NewSession
from tds_core.errors import NotFoundError
from tds_models.auth import ActionOutcome, Role
from tds_models.db import Lock, session_scope
from tests.support.database_role import REFUSED_CHANGE

A_DAY = Lifetime(idle_seconds=3600, seconds=86_400)
PASSWORD = "correct horse battery"


@pytest.fixture
def scope(engine: Engine) -> partial[AbstractContextManager]:
    return partial(session_scope, engine)


@pytest.fixture
def ali(engine: Engine) -> Iterator[str]:
    with session_scope(engine) as session:
        operators.create_operator(session, name="boss", role=Role.ADMIN, by="test", password=PASSWORD)
        operators.create_operator(session, name="Ali", role=Role.OPERATOR, by="test", password=PASSWORD)
    yield "ali"


def log_in(scope, name: str, password: str = PASSWORD, lifetime: Lifetime = A_DAY) -> NewSession:
    return sessions.log_in(scope, name=name, password=password, lifetime=lifetime, address="10.0.0.1")


def caller(scope, token: str, lifetime: Lifetime = A_DAY) -> Principal:
    with scope() as session:
        return sessions.authenticate_session(session, token, lifetime=lifetime)


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def everything_kept(engine: Engine) -> str:
    tables = ("tds_api_keys", "tds_operators", "tds_operator_sessions", "tds_operator_actions", "tds_kept_answers")
    with engine.connect() as connection:
        return "".join(str(connection.execute(text(f"select * from {table}")).all()) for table in tables)


def test_a_key_opens_until_it_is_revoked(scope, engine: Engine) -> None:
    with scope() as session:
        row, key = api_keys.create_key(session, name="erp", role=Role.VIEWER, by="boss", scopes=["entities"])
    with scope() as session:
        found = api_keys.authenticate_key(session, key, address="10.0.0.7")
    assert (found.name, found.role, found.scopes) == (f"key:{row['prefix']}", Role.VIEWER, ("entities",))
    with scope() as session:
        assert api_keys.keys(session)[0]["last_used_from"] == "10.0.0.7"
        assert api_keys.revoke_key(session, row["prefix"], by="boss")["revoked_by"] == "boss"
    with scope() as session, pytest.raises(UnauthorizedError, match="revoked"):
        api_keys.authenticate_key(session, key)
    with scope() as session:
        assert (api_keys.keys(session), len(api_keys.keys(session, with_ended=True))) == ([], 1)


def test_a_key_ends_with_its_time(scope, engine: Engine) -> None:
    with scope() as session:
        _, key = api_keys.create_key(
            session, name="erp", role=Role.VIEWER, by="b", expires_at=datetime.now(UTC) + timedelta(hours=1)
        )
        with pytest.raises(InvalidArgumentError):
            api_keys.create_key(
                session, name="x", role=Role.VIEWER, by="b", expires_at=datetime(2020, 1, 1, tzinfo=UTC)
            )
    execute(engine, "update tds_api_keys set expires_at = now()")
    with scope() as session, pytest.raises(UnauthorizedError, match="ended"):
        api_keys.authenticate_key(session, key)


def test_the_last_use_of_a_key_is_written_once_a_minute(scope, engine: Engine) -> None:
    with scope() as session:
        _, key = api_keys.create_key(session, name="erp", role=Role.VIEWER, by="boss")
    seen = []
    for _ in range(3):
        with scope() as session:
            api_keys.authenticate_key(session, key)
            seen.append(api_keys.keys(session)[0]["last_used_at"])
    assert len(set(seen)) == 1
    execute(engine, "update tds_api_keys set last_used_at = now() - interval '61 seconds'")
    with scope() as session:
        api_keys.authenticate_key(session, key)
        assert api_keys.keys(session)[0]["last_used_at"] > seen[0]


def test_a_key_that_differs_in_one_character_opens_nothing(scope) -> None:
    with scope() as session:
        row, key = api_keys.create_key(session, name="erp", role=Role.ADMIN, by="boss")
        other, _ = api_keys.create_key(session, name="other", role=Role.ADMIN, by="boss")
    last = "A" if key[-2] != "A" else "B"
    for wrong in (
        key[:-2] + last + key[-1], key.replace(row["prefix"], other["prefix"]), key.upper(), key[:12], "", "tds__",
        f"{key} ", "tds_00000000_" + "A" * 43, "\x00", "\udcff" * 50,
    ):  # fmt: skip
        with scope() as session, pytest.raises(UnauthorizedError, match="not valid"):
            api_keys.authenticate_key(session, wrong)


def test_a_digest_copied_to_another_key_opens_nothing(scope, engine: Engine) -> None:
    with scope() as session:
        strong, _ = api_keys.create_key(session, name="strong", role=Role.ADMIN, by="boss")
        weak, key = api_keys.create_key(session, name="weak", role=Role.VIEWER, by="boss")
    execute(
        engine,
        f"update tds_api_keys set digest = (select digest from tds_api_keys where prefix = '{weak['prefix']}')"
        f" where prefix = '{strong['prefix']}'",
    )
    with scope() as session, pytest.raises(UnauthorizedError):
        api_keys.authenticate_key(session, key.replace(weak["prefix"], strong["prefix"]))


@pytest.mark.parametrize("scopes", [["Entities"], ["/entities"], ["entities/"], [""], ["a b"], ["entities", "../x"]])
def test_a_scope_that_could_never_fit_is_refused(scope, scopes: list[str]) -> None:
    with scope() as session, pytest.raises(InvalidArgumentError, match="scope"):
        api_keys.create_key(session, name="erp", role=Role.VIEWER, by="boss", scopes=scopes)


def test_a_scope_opens_whole_parts_of_paths_only() -> None:
    narrow = Principal(shell("x").kind, "x", Role.VIEWER, ("entities", "zoho/quota"))
    assert [narrow.reaches(path) for path in ("entities", "entities/product", "zoho/quota")] == [True] * 3
    assert [narrow.reaches(path) for path in ("entitiesx", "zoho", "zoho/quotas", "keys", "")] == [False] * 5
    assert replace(narrow, scopes=()).reaches("keys")


def test_an_operator_logs_in_by_name_and_password_alone(scope, ali: str) -> None:
    begun = log_in(scope, " ALI ")
    assert caller(scope, begun.token).name == "ali"
    refused = [
        ("ali", "wrong password"),
        ("ali", ""),
        ("nobody", PASSWORD),
        ("", ""),
        ("ali\x00", "x"),
        ("ali", PASSWORD[:-1]),
    ]
    for name, password in refused:
        with pytest.raises(LoginRefusedError) as told:
            log_in(scope, name, password)
        assert str(told.value) == "Wrong name or password."


def test_each_log_in_has_a_token_of_its_own(scope, ali: str) -> None:
    first, second = log_in(scope, ali), log_in(scope, ali)
    assert first.token != second.token
    with scope() as session:
        sessions.log_out(session, first.token)
    assert caller(scope, second.token).name == "ali"
    with pytest.raises(UnauthorizedError):
        caller(scope, first.token)


def test_a_session_ends_unused_and_in_any_case(scope, ali: str, engine: Engine) -> None:
    begun = log_in(scope, ali)
    execute(engine, "update tds_operator_sessions set last_used_at = now() - interval '50 minutes'")
    assert caller(scope, begun.token).name == "ali"
    execute(engine, "update tds_operator_sessions set last_used_at = now() - interval '61 minutes'")
    with pytest.raises(UnauthorizedError):
        caller(scope, begun.token)
    execute(engine, "update tds_operator_sessions set last_used_at = now(), ends_at = now()")
    with pytest.raises(UnauthorizedError):
        caller(scope, begun.token)


def test_a_role_counts_at_once_and_a_disabled_operator_is_out_at_once(scope, ali: str) -> None:
    begun = log_in(scope, ali)
    with scope() as session:
        operators.change_role(session, ali, Role.VIEWER)
    assert caller(scope, begun.token).role is Role.VIEWER
    with scope() as session:
        operators.disable(session, ali)
    with pytest.raises(UnauthorizedError):
        caller(scope, begun.token)
    with pytest.raises(LoginRefusedError):
        log_in(scope, ali)
    with scope() as session:
        assert operators.enable(session, ali)["disabled_at"] is None
    assert log_in(scope, ali).caller.name == "ali"


def test_another_password_ends_every_session(scope, ali: str) -> None:
    begun = log_in(scope, ali)
    with scope() as session, pytest.raises(LoginRefusedError):
        operators.change_own_password(session, ali, current="wrong", new="another long password")
    with scope() as session:
        operators.change_own_password(session, ali, current=PASSWORD, new="another long password")
    with pytest.raises(UnauthorizedError):
        caller(scope, begun.token)
    with pytest.raises(LoginRefusedError):
        log_in(scope, ali)
    assert log_in(scope, ali, "another long password").caller.role is Role.OPERATOR


def test_there_is_always_an_administrator(scope, ali: str) -> None:
    for last in (lambda s: operators.disable(s, "boss"), lambda s: operators.change_role(s, "boss", Role.VIEWER)):
        with scope() as session, pytest.raises(LastAdminError):
            last(session)
    with scope() as session:
        operators.change_role(session, ali, Role.ADMIN)
        assert operators.disable(session, "boss")["disabled_at"] is not None


def test_the_first_admin_is_made_once(scope) -> None:
    with scope() as session:
        row, password = operators.first_admin(session, by="up")
    assert (row["name"], row["role"]) == ("admin", "admin")
    assert log_in(scope, "admin", password).caller.role is Role.ADMIN
    with scope() as session:
        assert operators.first_admin(session, by="up") is None


def test_names_are_used_once_and_passwords_are_long(scope, ali: str) -> None:
    with scope() as session:
        with pytest.raises(OperatorExistsError):
            operators.create_operator(session, name="ALI", role=Role.VIEWER, by="x")
        with pytest.raises(InvalidArgumentError):
            operators.create_operator(session, name="eve", role=Role.VIEWER, by="x", password="short")
        with pytest.raises(InvalidArgumentError):
            operators.create_operator(session, name="e v e", role=Role.VIEWER, by="x")
        with pytest.raises(NotFoundError):
            operators.disable(session, "nobody")


def test_a_csrf_token_belongs_to_its_session() -> None:
    assert sessions.is_csrf_token(sessions.csrf_token("one"), "one")
    for wrong in ("", "one", sessions.csrf_token("two"), "\udcff"):
        assert not sessions.is_csrf_token(wrong, "one")


def test_nothing_that_is_kept_opens_anything(scope, ali: str, engine: Engine) -> None:
    with scope() as session:
        _, key = api_keys.create_key(session, name="erp", role=Role.ADMIN, by="boss")
        action = ActionEntry(shell("ann"), "keys.create", "keys", "c-1", detail={"password": PASSWORD, "api_key": key})
        action_log.record(session, action, ActionOutcome.DONE)
        idempotency.begin(session, caller="ali", key="k", request_digest=b"1")
        idempotency.store(
            session, caller="ali", key="k", response=StoredResponse(201, "json", key.encode()), holds_secret=True
        )
    token = log_in(scope, ali).token
    kept = everything_kept(engine)
    for secret in (key, key.split("_")[2], token, PASSWORD, sessions.csrf_token(token)):
        assert secret not in kept


def test_an_action_that_ended_is_shown_once_and_one_that_did_not_is_shown_as_begun(scope) -> None:
    action = ActionEntry(shell("ann"), "runs.approve", "runs/7", "c-1", detail={"up_to": 5, "record": {"a": 1}})
    with scope() as session:
        begun = action_log.record(session, action, ActionOutcome.BEGUN)
        action_log.record(session, action, ActionOutcome.DONE, begun_id=begun, status=200)
        action_log.record(session, replace(action, operation="runs.cancel"), ActionOutcome.BEGUN)
    with scope() as session:
        shown = action_log.actions(session).items
    assert [(row["operation"], row["outcome"]) for row in shown] == [("runs.cancel", "begun"), ("runs.approve", "done")]
    assert shown[1]["detail"] == {"up_to": 5, "record": "(1 parts)"}


def test_actions_are_found_by_who_what_and_when(scope) -> None:
    with scope() as session:
        for name, operation in (("ann", "runs.cancel"), ("bob", "runs.cancel"), ("bob", "keys.create")):
            action_log.record(session, ActionEntry(shell(name), operation, "x", "c"), ActionOutcome.DONE)
    later = datetime.now(UTC) + timedelta(hours=1)
    with scope() as session:
        for given, count in (
            ({"caller": "bob"}, 2), ({"operation": "runs.cancel"}, 2), ({"outcome": "refused"}, 0),
            ({"since": later}, 0), ({"until": later}, 3), ({"caller": "bob", "operation": "keys.create"}, 1),
        ):  # fmt: skip
            assert len(action_log.actions(session, **given).items) == count, given
        first = action_log.actions(session, limit=2)
        assert len(action_log.actions(session, limit=2, cursor=first.next_cursor).items) == 1


@pytest.mark.parametrize(
    "change",
    [
        "update tds_operator_actions set caller = 'eve'",
        "delete from tds_operator_actions",
        "truncate tds_operator_actions",
    ],
)
def test_actions_cannot_be_edited(scope, engine: Engine, change: str) -> None:
    with scope() as session:
        action_log.record(session, ActionEntry(shell("ann"), "runs.cancel", "x", "c"), ActionOutcome.DONE)
    with pytest.raises(DBAPIError, match=REFUSED_CHANGE):
        execute(engine, change.format("tds_operator_actions"))


def test_a_request_sent_twice_gets_the_same_answer(scope) -> None:
    mine = {"caller": "ali", "key": "k1"}
    with scope() as session:
        assert idempotency.begin(session, **mine, request_digest=b"1") is None
    with scope() as session, pytest.raises(RequestInProgressError):
        idempotency.begin(session, **mine, request_digest=b"1")
    with scope() as session:
        idempotency.store(session, **mine, response=StoredResponse(202, "application/json", b"{}"), holds_secret=False)
    with scope() as session:
        assert idempotency.begin(session, **mine, request_digest=b"1") == StoredResponse(202, "application/json", b"{}")
        assert idempotency.begin(session, caller="bob", key="k1", request_digest=b"1") is None
        with pytest.raises(KeyReusedError):
            idempotency.begin(session, **mine, request_digest=b"2")


def test_an_answer_that_failed_died_or_is_old_is_made_anew(scope, engine: Engine) -> None:
    mine = {"caller": "ali", "key": "k1", "request_digest": b"1"}
    with scope() as session:
        idempotency.begin(session, **mine)
        idempotency.store(session, caller="ali", key="k1", response=StoredResponse(503, "x", b""), holds_secret=False)
        assert idempotency.begin(session, **mine) is None
    execute(engine, "update tds_kept_answers set began_at = now() - interval '301 seconds'")
    with scope() as session:
        assert idempotency.begin(session, **mine) is None
        idempotency.store(
            session, caller="ali", key="k1", response=StoredResponse(201, "x", b"secret"), holds_secret=True
        )
    with scope() as session, pytest.raises(ResponseNotStoredError):
        idempotency.begin(session, **mine)
    execute(engine, "update tds_kept_answers set expires_at = now()")
    with scope() as session:
        assert idempotency.begin(session, **mine) is None


def test_operators_are_made_while_a_dispatcher_leads_and_history_is_sealed(
    engine: Engine, scope: partial[AbstractContextManager]
) -> None:
    with engine.begin() as busy:
        for each in set(Lock) - {Lock.OPERATORS}:
            busy.execute(each.until_commit())
        with scope() as session:
            session.execute(text("set local lock_timeout = '2s'"))
            row, _ = operators.create_operator(session, name="nadia", role=Role.VIEWER, by="test")
    assert row["name"] == "nadia"
