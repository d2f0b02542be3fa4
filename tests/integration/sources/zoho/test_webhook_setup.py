"""`tds zoho webhooks`: what Zoho is to tell TDS is set up, kept right and taken away, and nobody else's is touched."""

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from werkzeug.serving import make_server

from tds_core.sources.zoho.oauth import SCOPES
from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import SECRET, Sender, sender_for
from tests.support.world import World
from zoho_sandbox.automation.registry import AutomationRegistry

MODULES = [entity.name for entity in ENTITIES.values() if entity.stream.rule_module]
COUNT = 3 * len(MODULES)


@pytest.fixture
def sender(synced: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def address(sender: Sender) -> Iterator[str]:
    """Where the API answers for real."""
    server = make_server("127.0.0.1", 0, sender.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def tds(
    synced: World, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    monkeypatch.setenv("TDS_PUBLIC_URL", address)
    monkeypatch.setenv("ZOHO_WEBHOOK_SECRET", SECRET)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def automation(standin: StandIn) -> AutomationRegistry:
    """What is set up at the stand-in."""
    return standin.sandbox.automation


def everything(automation: AutomationRegistry) -> bytes:
    return msgspec.json.encode([list(automation.webhooks.values()), list(automation.workflows.values())])


def states(tds: CommandLine) -> dict[str, list[str]]:
    said = tds("zoho", "webhooks", "status", "--json")
    return {row["name"]: row["state"] for row in said.json["webhooks"]}


def writes(standin: StandIn) -> int:
    return sum(count for (call, _), count in standin.sandbox.calls.items() if not call.startswith("GET"))


def named(found: dict[str, Any], name: str) -> Any:
    return next(each for each in found.values() if name in (getattr(each, f"{kind}_name", "") for kind in KINDS))


KINDS = ("webhook", "workflow")


def test_each_module_and_event_gets_a_webhook_and_a_rule(
    tds: CommandLine, automation: AutomationRegistry, address: str
) -> None:
    said = tds("zoho", "webhooks", "install")
    assert said.exit_code == 0, said.errors
    assert (len(automation.webhooks), len(automation.workflows)) == (COUNT, COUNT)
    webhook = named(automation.webhooks, "TDS product updated")
    assert (webhook.entity, webhook.secret) == ("item", SECRET)
    assert webhook.url == f"{address}/api/tds/zoho/webhooks/product/updated"
    assert named(automation.workflows, "TDS product updated").webhook_ids == [webhook.webhook_id]
    assert {workflow.rule_type for workflow in automation.workflows.values()} == {"add", "edit", "delete"}
    assert tds("zoho", "webhooks", "status").exit_code == 0


def test_a_real_edit_then_arrives_signed_and_becomes_a_row(
    tds: CommandLine, synced: World, standin: StandIn, sender: Sender
) -> None:
    tds("zoho", "webhooks", "install")
    standin.sandbox.start()
    try:
        edited, deleted, *_ = standin.ids("items")
        standin.edit("items", edited, name="Told by a webhook")
        made = standin.create("items", name="New and told", rate=3)
        standin.delete("items", deleted)
        assert standin.sandbox.webhooks.flush(20) == 0
    finally:
        standin.sandbox.stop()
    assert sender.count("tds_rejected_deliveries") == 0
    synced.drain("product")
    rows = synced.mirror("product", "name")
    assert (rows[edited], rows[made.id]) == (("Told by a webhook",), ("New and told",))
    events = synced.rows("select event, verdict from tds_inbox_events order by event")
    assert [(row["event"], row["verdict"] is not None) for row in events] == [
        ("created", True),
        ("deleted", True),
        ("updated", True),
    ]


def test_a_second_install_changes_nothing(tds: CommandLine, automation: AutomationRegistry, standin: StandIn) -> None:
    tds("zoho", "webhooks", "install")
    before, written = everything(automation), writes(standin)
    said = tds("zoho", "webhooks", "install")
    assert (said.exit_code, "nothing was changed" in said.out) == (0, True)
    assert (everything(automation), writes(standin)) == (before, written)


def test_a_dry_run_shows_and_changes_nothing(
    tds: CommandLine, automation: AutomationRegistry, standin: StandIn
) -> None:
    said = tds("zoho", "webhooks", "install", "--dry-run", "--json")
    assert (said.exit_code, said.json["dry_run"]) == (0, True)
    assert said.json["webhooks"][0]["steps"] == ["create webhook", "create rule"]
    assert (len(automation.webhooks), writes(standin)) == (0, 0)
    tds("zoho", "webhooks", "install")
    tds("zoho", "webhooks", "remove", "--dry-run")
    assert len(automation.webhooks) == COUNT


def test_drift_is_shown_and_mended(
    tds: CommandLine, automation: AutomationRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tds("zoho", "webhooks", "install")
    before = everything(automation)

    def webhook(name: str, **changes: Any) -> None:
        automation.write_webhook(named(automation.webhooks, name).webhook_id, changes)

    def rule(name: str) -> str:
        return str(named(automation.workflows, name).workflow_id)

    webhook("TDS product created", url="https://elsewhere.example/hook")
    webhook("TDS product updated", description="somebody wrote here")
    webhook("TDS product deleted", method="PUT")
    automation.switch_workflow(rule("TDS customer created"), "inactive")
    automation.write_workflow(rule("TDS customer updated"), {"rule_type": "add"})
    automation.write_workflow(rule("TDS customer deleted"), {"instant_actions": []})
    automation.delete_workflow(rule("TDS vendor created"))
    automation.delete_workflow(rule("TDS vendor updated"))
    automation.delete_webhook(named(automation.webhooks, "TDS vendor updated").webhook_id)
    found = states(tds)
    assert found == {
        **{name: ["installed"] for name in found},
        "TDS product created": ["other URL"],
        "TDS product updated": ["secret unknown"],
        "TDS product deleted": ["other method or module"],
        "TDS customer created": ["inactive"],
        "TDS customer updated": ["other trigger"],
        "TDS customer deleted": ["rule calls something else"],
        "TDS vendor created": ["no rule"],
        "TDS vendor updated": ["missing"],
    }
    assert "https://elsewhere.example/hook" in tds("zoho", "webhooks", "status").out
    assert tds("zoho", "webhooks", "install").exit_code == 0
    assert set(map(tuple, states(tds).values())) == {("installed",)}
    assert len(everything(automation)) == len(before)


def test_a_rotated_secret_is_seen_and_sent(
    tds: CommandLine, automation: AutomationRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tds("zoho", "webhooks", "install")
    monkeypatch.setenv("ZOHO_WEBHOOK_SECRET", "another1secret2another")
    assert set(map(tuple, states(tds).values())) == {("other secret",)}
    said = tds("zoho", "webhooks", "install")
    assert said.exit_code == 0
    assert {webhook.secret for webhook in automation.webhooks.values()} == {"another1secret2another"}
    assert "another1secret2another" not in said.out + said.errors


def test_remove_takes_ours_and_leaves_others(tds: CommandLine, automation: AutomationRegistry) -> None:
    theirs = automation.write_webhook(
        None, {"webhook_name": "TDS backup", "entity": "item", "url": "https://their.example"}
    )
    action = {"action_type": "webhook", "action_id": theirs.webhook_id}
    rule = {"workflow_name": "Theirs", "entity": "item", "rule_type": "add", "instant_actions": [action]}
    automation.write_workflow(None, rule)
    before = everything(automation)
    tds("zoho", "webhooks", "install")
    said = tds("zoho", "webhooks", "remove")
    assert said.exit_code == 0, said.errors
    assert everything(automation) == before
    assert "nothing of ours" in tds("zoho", "webhooks", "remove").out


def test_where_zoho_has_less_room_one_rule_serves_two_events(tds: CommandLine, automation: AutomationRegistry) -> None:
    for number in range(8):
        automation.write_workflow(None, {"workflow_name": f"Theirs {number}", "entity": "item", "rule_type": "add"})
    said = tds("zoho", "webhooks", "install", "--json")
    assert said.exit_code == 0
    ours = [row for row in said.json["webhooks"] if row["entity"] == "product"]
    assert [row["events"] for row in ours] == [["created", "updated"], ["deleted"]]
    assert named(automation.workflows, "TDS product updated").rule_type == "add_edit"
    assert states(tds)["TDS product updated"] == ["installed"]


def test_where_zoho_has_no_room_it_says_so(tds: CommandLine, automation: AutomationRegistry) -> None:
    for number in range(10):
        automation.write_workflow(None, {"workflow_name": f"Theirs {number}", "entity": "item", "rule_type": "add"})
    said = tds("zoho", "webhooks", "install")
    assert (said.exit_code, "delete one of them" in said.out) == (1, True)
    assert len(automation.webhooks) == COUNT - 3


def test_rules_no_longer_wanted_make_room_first(tds: CommandLine, automation: AutomationRegistry) -> None:
    tds("zoho", "webhooks", "install")
    automation.delete_workflow(named(automation.workflows, "TDS product deleted").workflow_id)
    for number in range(8):
        automation.write_workflow(None, {"workflow_name": f"Theirs {number}", "entity": "item", "rule_type": "add"})
    assert states(tds)["TDS product created"] == ["not wanted"]
    assert tds("zoho", "webhooks", "install").exit_code == 0
    assert "TDS product created" not in states(tds)


def test_a_name_that_is_taken_meanwhile_is_made_ours(
    tds: CommandLine, automation: AutomationRegistry, standin: StandIn
) -> None:
    def meanwhile(path: str, query: object) -> None:
        if path.endswith("/settings/webhooks") and not automation.webhooks and len(standin.calls) > 2:
            name = {"webhook_name": "TDS product created", "entity": "item", "url": "https://elsewhere.example"}
            automation.write_webhook(None, name)

    standin.before_call = meanwhile
    assert tds("zoho", "webhooks", "install").exit_code == 0
    standin.before_call = lambda path, query: None
    assert set(map(tuple, states(tds).values())) == {("installed",)}


def test_one_refusal_does_not_stop_the_others(
    tds: CommandLine, automation: AutomationRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_RULE_TYPES", "add,edit,erase")
    said = tds("zoho", "webhooks", "install")
    assert (said.exit_code, "create rule: HTTP 400" in said.out) == (1, True)
    assert len(automation.workflows) == 2 * len(MODULES)


def test_a_connection_that_may_only_read_names_what_it_lacks(
    tds: CommandLine, standin: StandIn, automation: AutomationRegistry
) -> None:
    code = standin.sandbox.accounts.authorize(",".join(SCOPES), "", True)
    assert tds("zoho", "connect", "--code", code).exit_code == 0
    assert tds("zoho", "webhooks", "status").exit_code == 1
    said = tds("zoho", "webhooks", "install")
    assert said.exit_code == 1
    for words in ("code 57", "ZohoBooks.settings.CREATE", "tds zoho connect --webhooks"):
        assert words in said.errors
    assert len(automation.webhooks) == 0


@pytest.mark.parametrize(
    ("variable", "says"),
    [("ZOHO_WEBHOOK_SECRET", "openssl rand -hex 24"), ("TDS_PUBLIC_URL", "TDS_PUBLIC_URL")],
)
def test_what_is_not_set_is_named_before_zoho_is_asked(
    tds: CommandLine, standin: StandIn, monkeypatch: pytest.MonkeyPatch, variable: str, says: str
) -> None:
    monkeypatch.delenv(variable)
    said = tds("zoho", "webhooks", "install")
    assert (said.exit_code, says in said.errors) == (2, True)
    assert standin.calls == []


def test_two_installations_with_names_of_their_own_leave_each_other_alone(
    tds: CommandLine, automation: AutomationRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tds("zoho", "webhooks", "install")
    monkeypatch.setenv("ZOHO_WEBHOOK_PREFIX", "TDS-staging")
    monkeypatch.setenv("TDS_PUBLIC_URL", "https://staging.example")
    assert tds("zoho", "webhooks", "install").exit_code == 0
    assert (len(automation.webhooks), len(automation.workflows)) == (2 * COUNT, 2 * COUNT)
    tds("zoho", "webhooks", "remove")
    assert len(automation.webhooks) == COUNT
