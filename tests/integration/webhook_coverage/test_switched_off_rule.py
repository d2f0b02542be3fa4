"""A rule that is switched off in Zoho: the changes are polled, the rule is named, and all is well when it is on."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from werkzeug.serving import make_server

from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_history import WebhookHistory
from tests.support.webhook_sender import SECRET, Sender, sender_for
from tests.support.worker_reports import heal
from tests.support.world import World


@pytest.fixture
def sender(synced: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(
    synced: World, sender: Sender, standin: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """`tds`, with the API where Zoho's webhooks reach it, and the webhooks installed."""
    server = make_server("127.0.0.1", 0, sender.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    standin.sandbox.start()
    monkeypatch.setenv("TDS_PUBLIC_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("ZOHO_WEBHOOK_SECRET", SECRET)
    tds = CommandLine(monkeypatch, capsys)
    assert tds("zoho", "webhooks", "install").exit_code == 0
    yield tds
    standin.sandbox.stop()
    server.shutdown()
    thread.join()


def switch(standin: StandIn, entity: str, status: str) -> None:
    """Switch the rules of an entity as a person does in Zoho."""
    automation = standin.sandbox.automation
    module = ENTITIES[entity].stream.rule_module
    for key in [key for key, rule in automation.workflows.items() if rule.entity == module]:
        automation.switch_workflow(key, status)


def edit(standin: StandIn, world: World, *numbers: int) -> None:
    """Change products; what Zoho tells of it arrives, and is done."""
    ids = standin.ids("items")
    for number in numbers:
        standin.edit("items", ids[number], name=f"Edited {time.monotonic_ns()}")
    assert standin.sandbox.webhooks.flush(20) == 0
    world.drain("product")


def test_it_is_found_filled_and_resolved(
    synced: World, standin: StandIn, tds: CommandLine, sender: Sender, engine: Engine
) -> None:
    history = WebhookHistory(engine)
    synced.run("product", "full")
    edit(standin, synced, -1)
    history.measure()
    time.sleep(1.1)  # a time of change has whole seconds, and the first webhook is where measuring begins
    edit(standin, synced, -1)
    history.measure()
    assert history.counts() == {"webhook": 1}
    assert history.report() == {}

    switch(standin, "product", "inactive")
    time.sleep(1.1)
    edit(standin, synced, 1, 2, 3)
    synced.run("product", "incremental")
    history.measure()
    assert history.counts() == {"webhook": 1, "never": 3}
    finding = history.report()["webhook_rule_off", "all"]
    assert finding["entity"] == "product"
    assert set(finding["detail"]["examples"]) <= set(synced.mirror("product", "name"))
    said = tds("zoho", "webhooks", "coverage")
    assert said.exit_code == 1
    assert "inactive" in tds("zoho", "webhooks", "status").out, "the next step shows which rule it is"
    synced.execute("update tds_sync_runs set requested_at = requested_at - interval '20 minutes'")
    assert heal(synced)["webhook_gaps"] == 1

    assert tds("zoho", "webhooks", "install").exit_code == 0
    time.sleep(1.1)
    edit(standin, synced, 4)
    history.measure()
    assert history.counts() == {"webhook": 2, "never": 3}
    assert ("webhook_rule_off", "all") not in history.report()
    assert tds("zoho", "webhooks", "coverage").exit_code == 0
    shown = sender.get("/api/tds/zoho/webhooks/coverage", entity="product").json["entities"][0]
    assert (shown["coverage_ratio"], shown["state"]) == (0.4, "heard")


def test_price_lists_change_without_a_webhook_and_that_is_no_gap(
    synced: World, standin: StandIn, tds: CommandLine, engine: Engine
) -> None:
    history = WebhookHistory(engine, "price_list")
    synced.run("product", "full")
    synced.run("price_list", "full")
    edit(standin, synced, -1)
    history.measure()
    standin.edit("pricebooks", standin.ids("pricebooks")[0], name="Retail 2027")
    synced.run("price_list", "incremental")
    assert "Retail 2027" in {name for (name,) in synced.mirror("price_list", "name").values()}
    history.measure()
    assert history.counts() == {}
    assert history.report() == {}
    [shown] = history.coverage()["entities"]
    assert shown["state"] == "not_announced"
