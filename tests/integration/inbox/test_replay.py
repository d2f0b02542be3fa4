"""An event taken again: a new event with the old body, judged like any other."""

from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import Engine

from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World, delivery, product

ID = "460000000000001"
RECENT = "/api/tds/zoho/webhooks"


@pytest.fixture
def sender(synced: World, database: str, engine: Engine, standin: StandIn) -> Iterator[Sender]:
    with sender_for(database, engine, **standin.settings) as sender:
        yield sender


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_a_replayed_event_is_a_new_one_and_the_old_one_stays(synced: World, sender: Sender) -> None:
    [receipt] = synced.deliver(delivery("product", product(name="old name")))
    synced.drain("product")
    synced.execute("update erp.product set name = 'spoilt', source_modified_at = source_modified_at - interval '1 s'")
    answer = sender.post(f"{RECENT}/{receipt.event_id}/replay")
    assert (answer.status_code, answer.json["replay_of"], answer.json["entity"]) == (
        202, str(receipt.event_id), "product",
    )  # fmt: skip
    synced.drain("product")
    assert synced.row("product", ID)["name"] == "old name"
    assert synced.verdicts() == ["applied", "applied"]
    correlation_ids = synced.rows("select distinct correlation_id from tds_inbox_events")
    assert correlation_ids == [{"correlation_id": "corr-1"}], "one thread through the logs"
    recorded = synced.rows("select distinct operation from tds_operator_actions")
    assert recorded == [{"operation": "reception.again"}]


def test_an_old_body_never_replaces_newer_content(synced: World, sender: Sender) -> None:
    [old] = synced.deliver(delivery("product", product(second=1, name="old")))
    synced.drain("product")
    synced.deliver(delivery("product", product(second=5, name="new")))
    synced.drain("product")
    assert sender.post(f"{RECENT}/{old.event_id}/replay").status_code == 202
    synced.drain("product")
    assert synced.row("product", ID)["name"] == "new"
    assert synced.verdicts() == ["applied", "applied", "stale"]


def test_what_was_not_understood_is_read_anew(synced: World, sender: Sender) -> None:
    refused = sender.send(msgspec.json.encode({"item": product()}), "/api/tds/zoho/webhooks/gadget/updated")
    assert refused.status_code == 404
    event_id = refused.json["event_id"]
    again = sender.post(f"{RECENT}/{event_id}/replay")
    assert (again.status_code, again.json["code"]) == (404, refused.json["code"])
    synced.execute("update tds_inbox_events set entity = 'product' where id = :id", id=event_id)  # a rule learned it
    assert sender.post(f"{RECENT}/{event_id}/replay").status_code == 202
    synced.drain("product")
    assert synced.verdicts() == ["quarantined", "applied"]


def test_what_cannot_be_replayed_says_why(synced: World, sender: Sender) -> None:
    [owed] = synced.deliver(delivery("product", product()))
    still = sender.post(f"{RECENT}/{owed.event_id}/replay")
    assert (still.status_code, still.json["code"]) == (409, "still_owed")
    nowhere = sender.post(f"{RECENT}/999999/replay")
    assert (nowhere.status_code, nowhere.json["code"]) == (404, "not_found")


def test_the_command_says_what_came_of_it(synced: World, tds: CommandLine) -> None:
    [receipt] = synced.deliver(delivery("product", product()))
    synced.drain("product")
    told = tds("replay", str(receipt.event_id), "--json").json
    assert told["replay_of"] == str(receipt.event_id)
    synced.drain("product")
    assert synced.verdicts() == ["applied", "unchanged"]
    failed = tds("replay", "424242")
    assert (failed.exit_code, "no event 424242" in failed.errors) == (1, True)
