"""Breakers are shown to people and programs as they stand, and an operator closes one from anywhere."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import load_settings
from tds_core.errors import TransientError
from tests.support.breaker_clock import NAME, ask, fail, is_refused
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/circuit-breakers"
OTHER = "zoho.inventory.items"


@pytest.fixture
def breakers(redis_url: str) -> Breakers:
    """A worker's, with one breaker that is open."""
    breakers = open_breakers(load_settings({"TDS_REDIS_URL": redis_url}))
    ask(breakers, count=3)
    fail(breakers, 5)
    return breakers


@pytest.fixture
def sender(database: str, engine: Engine, redis_url: str) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_REDIS_URL=redis_url) as sender:
        yield sender


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str) -> CommandLine:
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    return CommandLine(monkeypatch, capsys)


def reset(sender: Sender, name: str, token: str = TOKEN):
    client = sender.app.test_client()
    return client.post(f"{PATH}/{name}/reset", headers={"Authorization": f"Bearer {token}"})


def fail_other(breakers: Breakers) -> None:
    """Open a second breaker."""
    for _ in range(5):
        with pytest.raises(TransientError), breakers.guard(OTHER):
            raise TransientError("HTTP 502")


def test_every_breaker_is_listed_with_its_statistics(sender: Sender, breakers: Breakers) -> None:
    found = {each["name"]: each for each in sender.get(PATH).json}
    shown = found[NAME]
    assert (shown["state"], shown["is_shared"]) == ("open", True)
    assert (shown["call_count"], shown["success_count"], shown["failure_count"]) == (8, 3, 5)
    assert (shown["success_rate"], shown["failures_in_row"], shown["change_count"]) == (0.375, 5, 1)
    assert shown["opened_at"] < shown["next_probe_at"]
    assert shown["last_success_at"] <= shown["last_failure_at"]
    assert shown["last_error"] == "TransientError: HTTP 502"


def test_an_operator_closes_one_and_workers_hear_of_it(sender: Sender, breakers: Breakers) -> None:
    closed = reset(sender, NAME)
    assert (closed.status_code, closed.json["state"], closed.json["reset_by"]) == (200, "closed", "token")
    breakers.breaker(NAME).invalidate()  # what it heard is believed for a second
    assert not is_refused(breakers)


def test_a_breaker_nobody_knows_is_a_problem_document(sender: Sender) -> None:
    answer = reset(sender, "zoho.books.nothing")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_without_the_token_nothing_is_shown_or_closed(sender: Sender, breakers: Breakers) -> None:
    assert sender.app.test_client().get(PATH).status_code == 401
    assert reset(sender, NAME, "wrong").status_code == 401
    assert is_refused(breakers)


def test_while_redis_is_away_closing_says_so(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_REDIS_URL="redis://127.0.0.1:1/0") as sender:
        assert [each["name"] for each in sender.get(PATH).json if each["is_shared"]] == []
        answer = reset(sender, NAME)
        assert (answer.status_code, answer.json["code"], "Retry-After" in answer.headers) == (
            503,
            "breakers_away",
            True,
        )


def test_prometheus_sees_state_and_refusals(sender: Sender, breakers: Breakers) -> None:
    assert is_refused(breakers)
    told = sender.app.test_client().get("/metrics").text
    assert f'tds_breaker_state{{breaker="{NAME}",state="open"}} 1.0' in told
    assert f'tds_breaker_state{{breaker="{NAME}",state="closed"}} 0.0' in told
    assert f'tds_breaker_rejections_total{{breaker="{NAME}"}}' in told


def test_the_command_shows_them_as_a_table_and_as_json(tds: CommandLine, breakers: Breakers) -> None:
    shown = tds("breakers")
    assert NAME in shown.out
    assert "open" in shown.out
    [found] = tds("breakers", "--json").json
    assert (found["name"], found["state"], found["failure_count"]) == (NAME, "open", 5)


def test_the_command_closes_one(tds: CommandLine, breakers: Breakers) -> None:
    assert tds("breakers", "reset", NAME).exit_code == 0
    assert [each["state"] for each in tds("breakers", "--json").json] == ["closed"]
    said = tds("breakers", "reset", "zoho.books.nothing")
    assert (said.exit_code, "see: tds breakers" in said.errors) == (1, True)


def test_all_are_closed_at_once(sender: Sender, breakers: Breakers) -> None:
    fail_other(breakers)
    client = sender.app.test_client()
    closed = client.post(f"{PATH}/reset", headers={"Authorization": f"Bearer {TOKEN}"})
    shown = {each["name"]: (each["state"], each["reset_by"]) for each in closed.json}
    assert closed.status_code == 200
    assert shown[NAME] == shown[OTHER] == ("closed", "token")
    breakers.breaker(NAME).invalidate()
    assert not is_refused(breakers)
    assert client.post(f"{PATH}/reset").status_code == 401


def test_the_command_closes_all(world: World, tds: CommandLine, breakers: Breakers) -> None:
    fail_other(breakers)
    closed = tds("breakers", "reset", "--all", "--json").json
    assert {NAME, OTHER} <= set(closed)
    assert {each["state"] for each in tds("breakers", "--json").json} == {"closed"}
    assert "are closed" in tds("breakers", "reset", "--all").out
    [action] = world.rows("select distinct operation, subject from tds_operator_actions")
    assert (action["operation"], action["subject"]) == ("cli.breakers.reset", "all")
    for words in ((), (NAME, "--all")):
        said = tds("breakers", "reset", *words)
        assert (said.exit_code, "--all" in said.errors) == (2, True)


def test_health_is_degraded_while_one_is_open_and_names_it(world: World, tds: CommandLine, breakers: Breakers) -> None:
    said = tds("health", "--json", "--only", "breakers")
    [found] = said.json["components"]
    assert (said.exit_code, found["state"]) == (1, "warning")
    assert f"{NAME} open: TransientError: HTTP 502" in found["says"]
    tds("breakers", "reset", NAME)
    assert tds("health", "--only", "breakers").exit_code == 0


def test_the_command_tells_redis_away_from_no_breakers(tds: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "none" in tds("breakers").out
    monkeypatch.setenv("TDS_REDIS_URL", "redis://127.0.0.1:1/0")
    for words in (("breakers",), ("breakers", "reset", NAME)):
        said = tds(*words)
        assert (said.exit_code, "tds doctor" in said.errors) == (1, True)
