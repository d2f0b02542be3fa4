"""Many events are replayed as they were shown: frozen, throttled, cancellable, and never all by an empty filter."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_core.auth import api_keys
from tds_core.inbox import replay_batches
from tds_core.sources.zoho.webhooks.parser import parse_again
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_tasks.dispatcher import RetryBatchRunner
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import ScriptedSource, World, delivery, product

REPLAY = "/api/tds/zoho/webhooks/replay"
STALE = {"entity": "product", "verdict": "stale"}


@pytest.fixture
def sender(world: World, source: ScriptedSource, database: str, engine: Engine) -> Iterator[Sender]:
    """Three products, each applied and then sent once more with an older body."""
    for n in (1, 2, 3):
        world.deliver(delivery("product", product(f"46000000000000{n}", second=5)))
    world.drain("product")
    for n in (1, 2, 3):
        world.deliver(delivery("product", product(f"46000000000000{n}", second=1)))
    world.drain("product")
    with sender_for(database, engine) as sender:
        yield sender


def shown(sender: Sender, **criteria: Any) -> dict[str, Any]:
    answer = sender.post(f"{REPLAY}/preview", criteria)
    assert answer.status_code == 200, answer.text
    return {"event_count": answer.json["event_count"], "taken_at": answer.json["taken_at"]}


def step(world: World, *, seconds: float = 60) -> int:
    """The next step, as if so many seconds had passed since the last."""
    world.execute("update tds_replay_batches set stepped_at = now() - make_interval(secs => :s)", s=seconds)
    with session_scope(world.engine) as session:
        return replay_batches.step(session, parse=parse_again)


def test_a_preview_says_which_events_and_writes_nothing(world: World, sender: Sender) -> None:
    preview = sender.post(f"{REPLAY}/preview", {**STALE, "per_minute": 30}).json
    [product_events] = preview["by_entity"]
    assert (preview["event_count"], preview["seconds"]) == (3, 6.0)
    assert (product_events["entity"], product_events["record_count"], product_events["to_read_count"]) == (
        "product", 3, 0,
    )  # fmt: skip
    assert world.rows("select id from tds_replay_batches") == []


def test_what_was_shown_is_replayed_and_gets_verdicts_of_its_own(world: World, sender: Sender) -> None:
    begun = sender.post(REPLAY, {**STALE, **shown(sender, **STALE), "per_minute": 60_000})
    assert (begun.status_code, begun.json["state"], begun.json["outcomes"]) == (202, "running", {"waiting": 3})
    assert step(world) == 3
    world.drain("product")
    assert sorted(world.verdicts()) == ["applied"] * 3 + ["stale"] * 6
    ended = sender.get(f"{REPLAY}/{begun.json['id']}").json
    assert (ended["state"], ended["outcomes"], ended["seconds_left"]) == ("completed", {"replayed": 3}, 0)
    news = world.rows("select new_event_id from tds_replayed_events")
    assert len({row["new_event_id"] for row in news}) == 3
    assert [each["id"] for each in sender.get(REPLAY).json["items"]] == [begun.json["id"]]


def test_events_that_came_since_are_not_in_the_selection(world: World, sender: Sender) -> None:
    frozen = shown(sender, **STALE)
    world.deliver(delivery("product", product("460000000000001", second=0)))
    world.drain("product")
    assert sender.post(REPLAY, {**STALE, **frozen}).json["event_count"] == 3


def test_a_selection_that_changed_or_is_old_is_refused(world: World, sender: Sender) -> None:
    frozen = shown(sender, **STALE)
    old = sender.post(REPLAY, {**STALE, **frozen, "taken_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
    assert (old.status_code, old.json["code"]) == (409, "replay_selection_stale")
    world.execute("delete from tds_inbox_events where verdict = 'stale' and source_id = '460000000000001'")
    changed = sender.post(REPLAY, {**STALE, **frozen})
    assert (changed.status_code, "2 events match now, 3 were shown" in changed.json["detail"]) == (409, True)
    assert world.rows("select id from tds_replay_batches") == [], "what was refused left nothing"


@pytest.mark.parametrize("path", [REPLAY, f"{REPLAY}/preview"])
def test_an_empty_filter_is_refused(sender: Sender, path: str) -> None:
    answer = sender.post(path, {"event_count": 6, "taken_at": datetime.now(UTC).isoformat()} if path == REPLAY else {})
    assert (answer.status_code, "Say which events" in answer.json["detail"]) == (422, True)
    for wrong in ({"verdict": "open"}, {"entity": "gadget"}, {"per_minute": 0, "entity": "product"}):
        assert sender.post(path, wrong).status_code == 422


def test_more_than_a_batch_may_have_is_refused(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_batches, "MOST_EVENTS", 2)
    answer = sender.post(f"{REPLAY}/preview", STALE)
    assert (answer.status_code, "narrow them" in answer.json["detail"]) == (422, True)


def test_events_are_replayed_no_faster_than_asked(world: World, sender: Sender) -> None:
    sender.post(REPLAY, {**STALE, **shown(sender, **STALE), "per_minute": 20})
    assert step(world, seconds=1) == 0
    assert step(world, seconds=3) == 1
    assert step(world, seconds=0) == 0
    assert step(world, seconds=3600) == 1, "a late step makes up for seconds, not for the outage"


def test_a_rate_of_less_than_one_in_some_seconds_still_goes_on(world: World, sender: Sender) -> None:
    sender.post(REPLAY, {**STALE, **shown(sender, **STALE), "per_minute": 1})
    assert [step(world, seconds=seconds) for seconds in (30, 61)] == [0, 1]


def test_a_cancelled_replay_leaves_the_rest(world: World, sender: Sender) -> None:
    batch = sender.post(REPLAY, {**STALE, **shown(sender, **STALE), "per_minute": 20}).json
    step(world, seconds=3)
    cancelled = sender.post(f"{REPLAY}/{batch['id']}/cancel").json
    assert (cancelled["state"], cancelled["outcomes"]) == ("cancelled", {"cancelled": 2, "replayed": 1})
    assert step(world) == 0
    assert sender.post(f"{REPLAY}/{batch['id']}/cancel").json["outcomes"] == {"cancelled": 2, "replayed": 1}
    assert sender.post(f"{REPLAY}/999/cancel").status_code == 404


def test_each_event_says_what_became_of_it(world: World, sender: Sender) -> None:
    [one, two, three] = world.rows("select id from tds_inbox_events where verdict = 'stale' order by id")
    batch = sender.post(REPLAY, {**STALE, **shown(sender, **STALE), "per_minute": 60_000}).json
    world.execute("delete from tds_inbox_events where id = :id", id=one["id"])
    world.execute("update tds_inbox_events set verdict = null where id = :id", id=two["id"])
    world.execute("update tds_inbox_events set raw = '{', record = null where id = :id", id=three["id"])
    step(world)
    assert sender.get(f"{REPLAY}/{batch['id']}").json["outcomes"] == {"gone": 1, "owed": 1, "refused": 1}
    [refused] = world.rows("select error from tds_replayed_events where outcome = 'refused'")
    assert refused["error"]


def test_the_dispatcher_takes_the_steps(world: World, sender: Sender, engine: Engine) -> None:
    sender.post(REPLAY, {**STALE, **shown(sender, **STALE), "per_minute": 60_000})
    world.execute("update tds_replay_batches set stepped_at = now() - interval '10 s'")
    RetryBatchRunner().look(lambda: session_scope(engine))
    assert [row["outcome"] for row in world.rows("select outcome from tds_replayed_events")] == ["replayed"] * 3


def test_a_viewer_may_watch_and_no_more(sender: Sender, engine: Engine) -> None:
    with session_scope(engine) as session:
        _, key = api_keys.create_key(session, name="y", role=Role.VIEWER, by="t")
    client, headers = sender.app.test_client(), {"Authorization": f"Bearer {key}"}
    assert client.get(REPLAY, headers=headers).status_code == 200
    for path in (REPLAY, f"{REPLAY}/preview", f"{REPLAY}/1/cancel"):
        assert client.post(path, json=STALE, headers=headers).status_code == 403


def test_the_command_shows_begins_lists_and_cancels(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys, columns=None)
    which = ("replay", "--entity", "product", "--verdict", "stale", "--from", "1h")
    assert tds(*which, "--json").json["event_count"] == 3
    assert "3 events" in tds(*which, "--preview").out
    begun = tds(*which, "--yes", "--json").json
    assert (begun["event_count"], begun["asked"]["verdict"]) == (3, "stale")
    assert "waiting 3" in tds("replay", "--list").out
    assert tds("replay", "--cancel", str(begun["id"]), "--json").json["state"] == "cancelled"
    for words in ((), ("1", "--entity", "product"), ("--list", "--cancel", "1")):
        said = tds("replay", *words)
        assert (said.exit_code, "--entity" in said.errors) == (2, True)
    recorded = {row["operation"] for row in world.rows("select operation from tds_operator_actions")}
    assert recorded == {"cli.webhooks.replay_many", "cli.webhooks.cancel_replay"}
