"""Versions of settings: what is in force, who changed it, and of two changes at once one."""

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tds_core.config.sources import InvalidValueError
from tds_core.configuration.versions import (
    StaleConfigurationError,
    change,
    declaration_of,
    history,
    newest_versions,
    overrides_in_force,
)
from tds_core.errors import InvalidCursorError, NotFoundError
from tds_models.db import session_scope
from tests.support.database_role import REFUSED_CHANGE

KEY = "TDS_GUARD_PERCENT"


def put(engine: Engine, value: Any, key: str = KEY, **more: Any) -> int:
    with session_scope(engine) as session:
        return change(session, key, value, by="amal", **more)


def in_force(engine: Engine) -> dict[str, Any]:
    with session_scope(engine) as session:
        return {key: each.value for key, each in overrides_in_force(session)[0].items()}


def test_the_newest_version_is_in_force_and_the_earlier_ones_are_kept(engine: Engine) -> None:
    assert [put(engine, 10, reason="more"), put(engine, 20), put(engine, "30")] == [1, 2, 3]
    assert in_force(engine) == {KEY: 30}
    with session_scope(engine) as session:
        page = history(session, key="guard_percent")
    assert [(each["version"], each["value_before"], each["value"]) for each in page.items] == [
        (3, 20, 30), (2, 10, 20), (1, None, 10),
    ]  # fmt: skip
    first = page.items[-1]
    assert (first["changed_by"], first["reason"], first["changed_at"].tzinfo is None) == ("amal", "more", False)


def test_no_value_puts_the_environment_s_in_force_again(engine: Engine) -> None:
    put(engine, 10)
    assert put(engine, None) == 2
    assert in_force(engine) == {}
    assert put(engine, 11) == 3
    assert in_force(engine) == {KEY: 11}


def test_what_changes_nothing_makes_no_version(engine: Engine) -> None:
    assert put(engine, None) == 0
    assert [put(engine, 10), put(engine, "10"), put(engine, 10, seen_version=1)] == [1, 1, 1]


def test_a_change_from_an_old_version_is_refused_and_says_where_to_look(engine: Engine) -> None:
    put(engine, 10)
    for seen in (0, 2):
        with pytest.raises(StaleConfigurationError, match=rf"version 1 by now, not {seen}.*tds config history"):
            put(engine, 20, seen_version=seen)
    assert put(engine, 20, seen_version=1) == 2


def test_of_two_changes_at_once_one_is_made(engine: Engine) -> None:
    put(engine, 10)
    both, ends = threading.Barrier(2), []

    def attempt(value: int) -> None:
        try:
            with session_scope(engine) as session:
                session.execute(text("select * from tds_configuration"))
                both.wait(10)
                change(session, KEY, value, by=f"operator {value}", seen_version=1)
                threading.Event().wait(0.2)  # so that the other one's insert meets an open transaction
            ends.append("made")
        except StaleConfigurationError:
            ends.append("refused")

    threads = [threading.Thread(target=attempt, args=(value,)) for value in (20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(ends) == ["made", "refused"]
    with session_scope(engine) as session:
        assert newest_versions(session)[KEY]["version"] == 2


def test_history_cannot_be_edited(engine: Engine) -> None:
    put(engine, 10)
    for statement in ("update tds_configuration set value = '99'", "delete from tds_configuration",
                      "truncate tds_configuration"):  # fmt: skip
        with pytest.raises(DBAPIError, match=REFUSED_CHANGE), session_scope(engine) as session:
            session.execute(text(statement))


def test_a_name_that_does_not_exist_is_answered_with_those_near_it(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match=r"TDS_GUARD_PERCENT"):
        put(engine, 10, key="TDS_GUARD_PERCNT")
    with pytest.raises(NotFoundError, match=r"TDS_REVIVE_PER_MINUTE"):
        declaration_of("revive_per_minut")
    with pytest.raises(NotFoundError, match=r"tds config"):
        declaration_of("\0" * 200)
    assert declaration_of("circuit_breaker_enabled").variable == "CIRCUIT_BREAKER_ENABLED"


def test_what_is_read_at_the_start_only_cannot_be_changed(engine: Engine) -> None:
    with pytest.raises(InvalidValueError, match=r"TDS_WORKERS is read when a process starts: set it"):
        put(engine, 10, key="TDS_WORKERS")


def test_what_this_version_of_tds_does_not_know_or_accept_is_not_in_force(engine: Engine) -> None:
    put(engine, 10)
    with session_scope(engine) as session:
        session.execute(
            text("""
            insert into tds_configuration (key, version, value, changed_by) values
            ('TDS_OF_TOMORROW', 1, '1', 'x'), ('TDS_GUARD_PERCENT', 2, '5000', 'x'), ('TDS_WORKERS', 1, '9', 'x')
        """)
        )
        found, ignored = overrides_in_force(session)
    assert found == {}
    assert ignored == {"TDS_OF_TOMORROW": 1, "TDS_GUARD_PERCENT": 2, "TDS_WORKERS": 1}
    assert put(engine, 12, seen_version=2) == 3


def test_the_history_is_paged_over_all_settings(engine: Engine) -> None:
    for number in range(5):
        put(engine, number, key="TDS_GUARD_RECORDS" if number % 2 else KEY)
    seen, cursor = [], None
    while True:
        with session_scope(engine) as session:
            page = history(session, cursor=cursor, limit=2)
        seen += [each["value"] for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [4, 3, 2, 1, 0]
    with session_scope(engine) as session, pytest.raises(InvalidCursorError):
        history(session, cursor="x")
