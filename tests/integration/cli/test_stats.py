"""`tds stats`, `tds health`, `tds explain`: what operators read, and what scripts go by."""

import pytest

from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import World, delivery, product


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def alive(world: World) -> None:
    world.execute("insert into tds_pulses (name) values ('dispatcher'), ('beat') on conflict do nothing")


def components(said: dict) -> dict[str, str]:
    return {each["name"]: each["state"] for each in said["components"]}


def test_stats_show_both_sides(tds: CommandLine, synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    standin.delete("items", standin.ids("items")[0])
    synced.run("product", "full")
    row = next(row for row in tds("stats", "--json").json["entities"] if row["entity"] == "product")
    assert (row["source_count"], row["live_count"], row["deleted_count"]) == (44, 44, 1)


def test_stats_of_an_empty_installation_are_tables_without_rows(tds: CommandLine) -> None:
    said = tds("stats")
    assert said.exit_code == 0
    assert "Dead letters" in said.out
    assert "none" in said.out


def test_stats_count_events_by_verdict_and_what_is_owed(tds: CommandLine, synced: World) -> None:
    synced.deliver(delivery("product", product()), delivery("product", product("2")))
    said = tds("stats", "--json").json
    assert said["events"]["by_verdict"] == {"open": 2}
    assert [(row["entity"], row["due_count"]) for row in said["queue"]] == [("product", 2)]


def test_health_is_ok_while_everybody_makes_progress(
    tds: CommandLine, synced: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    alive(synced)
    said = tds("health", "--json")
    assert (said.exit_code, said.json["status"], said.json["score"]) == (0, "ok", 100)


def test_without_redis_health_is_degraded_and_says_what_it_costs(
    tds: CommandLine, synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_REDIS_URL", "redis://127.0.0.1:1/0")
    alive(synced)
    said = tds("health", "--json")
    assert (said.exit_code, said.json["status"], said.json["score"]) == (1, "degraded", 90)
    assert components(said.json)["redis"] == "warning"


def test_a_dispatcher_that_never_ran_is_unhealthy(tds: CommandLine) -> None:
    said = tds("health")
    assert said.exit_code == 5
    assert "Start TDS: tds up" in said.out


def test_health_is_red_when_work_waits_and_none_ends_though_all_are_alive(tds: CommandLine, synced: World) -> None:
    alive(synced)
    synced.enqueue("product", "1")
    synced.execute("update tds_sync_queue set next_attempt_at = now() - interval '5 minutes'")
    said = tds("health", "--json")
    assert said.exit_code == 5
    assert components(said.json)["workers"] == "critical"


def test_a_silent_dispatcher_is_reported_by_how_long_it_has_been_silent(tds: CommandLine, synced: World) -> None:
    alive(synced)
    synced.execute("update tds_pulses set beat_at = now() - interval '2 minutes' where name = 'dispatcher'")
    said = tds("health", "--json")
    assert components(said.json)["dispatcher"] == "critical"


def test_a_container_can_be_judged_by_its_own_component(tds: CommandLine, synced: World) -> None:
    synced.execute("insert into tds_pulses (name) values ('dispatcher')")
    assert tds("health", "--only", "dispatcher").exit_code == 0
    assert tds("health", "--only", "timetable").exit_code == 1
    assert tds("health", "--only", "weather").exit_code == 2


def test_explain_tells_the_story_from_webhook_to_row(tds: CommandLine, synced: World) -> None:
    synced.deliver(delivery("product", product("7")))
    synced.drain("product")
    synced.deliver(delivery("product", product("7", second=5, rate=99)))
    synced.drain("product")
    story = tds("explain", "product", "7", "--json").json
    assert [step["kind"] for step in story["steps"]] == ["event", "attempt", "change", "event", "attempt", "change"]
    assert story["steps"][-1]["detail"]["changes"]["price"] == ["10.5", "99"]
    told = tds("explain", "product", "7")
    assert 'price: "10.5" → "99"' in told.out
    assert "applied after" in told.out


def test_explain_says_what_a_record_is_still_owed(tds: CommandLine, synced: World) -> None:
    synced.enqueue("product", "7")
    assert "Owed a sync" in tds("explain", "product", "7").out


def test_a_record_nobody_has_heard_of_is_reported_with_the_way_to_fetch_it(tds: CommandLine) -> None:
    said = tds("explain", "product", "404")
    assert said.exit_code == 1
    assert "tds sync product --mode targeted --id 404" in said.errors


def test_a_database_that_does_not_answer_is_one_sentence_without_password(
    tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_DATABASE_URL", "postgresql://tds:hunter2@127.0.0.1:1/tds")
    for command in (["stats"], ["health"], ["explain", "product", "1"], ["schedule", "list"]):
        said = tds(*command)
        assert (said.exit_code, "tds doctor" in said.errors) == (4, True)
        assert "hunter2" not in said.errors
        assert "Traceback" not in said.errors


def test_a_database_that_was_never_migrated_names_the_command_that_helps(
    tds: CommandLine, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setenv("TDS_DATABASE_URL", postgres_url)
    said = tds("stats")
    assert (said.exit_code, "tds migrate" in said.errors) == (4, True)


def test_without_any_tds_here_the_next_step_is_named(tds: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.delenv("TDS_DATABASE_URL")
        said = tds("stats")
    assert (said.exit_code, "tds up" in said.errors) == (2, True)
