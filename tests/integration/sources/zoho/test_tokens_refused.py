"""A refresh token that Zoho no longer takes: reading stops at once, says why, loses nothing, and catches up."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.command_line import CommandLine
from tests.support.standin import StandIn, names
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World, delivery, forget_context


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def sender(synced: World, database: str, engine: Engine, standin: StandIn) -> Iterator[Sender]:
    with sender_for(database, engine, **standin.settings) as sender:
        yield sender


@pytest.fixture
def revoked(synced: World, standin: StandIn) -> World:
    """A world in step whose refresh token was revoked at Zoho, and whose access token has ended."""
    synced.run("product", "full")
    standin.sandbox.accounts.revoke(standin.sandbox.settings.refresh_token)
    synced.execute("update tds_source_tokens set expires_at = now()")
    forget_context()
    return synced


def zoho_component(tds: CommandLine) -> dict[str, str]:
    return next(each for each in tds("health", "--json").json["components"] if each["name"] == "zoho")


def test_it_is_said_everywhere_with_what_to_do(
    revoked: World, standin: StandIn, tds: CommandLine, sender: Sender
) -> None:
    assert zoho_component(tds)["state"] == "ok"
    revoked.enqueue("product", standin.ids("items")[0])
    revoked.drain("product")
    told = zoho_component(tds)
    assert told["state"] == "critical"
    for words in ("invalid_code", "tds zoho connect", "/api/tds/zoho/oauth/start"):
        assert told["says"].count(words) == 1
    client = sender.app.test_client()
    ready, health = client.get("/readyz"), client.get("/api/tds/health")
    assert ready.status_code == 200, "webhooks are taken all the same"
    assert health.json["status"] == "unhealthy", "nothing can be brought over"
    for zoho in (ready.json["zoho"], health.json["zoho"]):
        assert zoho["access"] == "refused"
        assert "invalid_code" in zoho["reason"]
        assert "/api/tds/zoho/oauth/start" in zoho["reason"]


def test_zoho_is_asked_once_and_then_left_alone(revoked: World, standin: StandIn) -> None:
    before = standin.token_call_count
    for source_id in standin.ids("items")[:5]:
        revoked.enqueue("product", source_id)
        revoked.execute("update tds_source_tokens set paused_until = null")
        forget_context()
        revoked.drain("product", make_due=True)
    assert standin.token_call_count == before + 1
    assert revoked.rows("select distinct attempts from tds_sync_queue") == [{"attempts": 0}]


def test_refused_credentials_are_tried_again_after_a_while_and_others_at_once(
    revoked: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    [source_id, *_] = standin.ids("items")
    revoked.enqueue("product", source_id)
    revoked.drain("product")
    before = standin.token_call_count
    revoked.execute("update tds_source_tokens set paused_until = null, blocked_until = now()")
    revoked.drain("product", make_due=True)
    assert standin.token_call_count == before + 1
    code = standin.sandbox.accounts.authorize("ZohoBooks.fullaccess.all,ZohoInventory.fullaccess.all", "", True)
    _, fresh = standin.sandbox.accounts.exchange(code, "")
    monkeypatch.setenv("ZOHO_REFRESH_TOKEN", str(fresh))
    revoked.execute("update tds_source_tokens set paused_until = null")
    forget_context()
    revoked.drain("product", make_due=True)
    assert revoked.queue_depth() == 0
    assert revoked.value("select refusal from tds_source_tokens") is None


def test_nothing_is_lost_and_all_of_it_catches_up_after_connecting(
    revoked: World, standin: StandIn, tds: CommandLine
) -> None:
    changed, gone, *_ = standin.ids("items")
    standin.edit("items", changed, name="Changed while nobody was let in")
    standin.delete("items", gone)
    run_id = revoked.request_run("product", "incremental")
    revoked.advance(run_id)
    revoked.deliver(delivery("product", {"item_id": gone}, event="deleted", complete=False))
    revoked.drain("product")
    assert revoked.run_row(run_id)["state"] == "running"
    assert (revoked.queue_depth(), revoked.verdicts()) == (1, [None])

    code = standin.sandbox.accounts.authorize("ZohoBooks.fullaccess.all,ZohoInventory.fullaccess.all", "", True)
    assert tds("zoho", "connect", "--code", code).exit_code == 0
    assert zoho_component(tds)["state"] == "ok"
    forget_context()
    revoked.advance(run_id)
    revoked.drain("product")
    assert revoked.run_row(run_id)["state"] == "completed"
    assert (revoked.queue_depth("product"), revoked.verdicts()) == (0, ["deleted"])
    assert revoked.mirror("product", "name") == names(standin)
