"""Coverage is shown by entity and hour to people and programs alike, with the changes that were not announced."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from tds_tasks.schedule import JOBS
from tests.support.command_line import CommandLine
from tests.support.webhook_history import WebhookHistory
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/zoho/webhooks/coverage"


@pytest.fixture
def history(engine: Engine) -> WebhookHistory:
    """Products with one change of each kind in two hours, three minutes and more ago; silent invoices."""
    history = WebhookHistory(engine)
    history.begin()
    history.full_pass(60 * 24 * 3, entity="invoice")
    history.told("i1", changed=600, entity="invoice")
    history.change("i2", changed=200, found=190, entity="invoice")
    history.told("1", changed=130)
    history.change("2", changed=130, found=10)
    history.webhook("3", of=30, received=29)
    history.change("3", changed=30, found=10)
    history.change("4", changed=30, found=10)
    history.webhook("4", of=30, received=5)
    history.refused("5", received=30)
    history.change("5", changed=30, found=10)
    history.measure()
    history.report()
    return history


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def by_entity(document: dict) -> dict[str, dict]:
    return {each["entity"]: each for each in document["entities"]}


def test_the_heat_table_has_the_hours_with_changes(history: WebhookHistory, sender: Sender) -> None:
    document = sender.get(PATH, hours=48).json
    product = by_entity(document)["product"]
    counts = [product[f"{name}_count"] for name in ("changed", "webhook", "in_time", "late", "never", "wrong")]
    assert counts == [5, 1, 1, 1, 1, 1]
    assert (product["coverage_ratio"], product["state"]) == (0.4, "heard")
    assert sum(cell["changed_count"] for cell in product["cells"]) == 5
    first, last = product["cells"][0], product["cells"][-1]
    assert (first["never_count"], first["coverage_ratio"]) == (1, 0.5)
    assert document["from_at"] < first["hour_at"] < last["hour_at"] <= document["to_at"]
    assert document["total"]["changed_count"] == 7
    assert list(by_entity(document)) == list(by_entity(sender.get(PATH).json))


def test_price_lists_are_shown_as_not_announced(history: WebhookHistory, sender: Sender) -> None:
    [shown] = sender.get(PATH, entity="price_list").json["entities"]
    assert (shown["state"], shown["changed_count"], shown["cells"]) == ("not_announced", 0, [])


@pytest.mark.parametrize(("name", "value"), [("hours", 0), ("hours", 100000), ("hours", "x"), ("entity", "nothing")])
def test_arguments_that_mean_nothing_are_refused(sender: Sender, name: str, value: object) -> None:
    assert sender.get(PATH, **{name: value}).status_code == 422


def test_without_a_key_nothing_is_shown(sender: Sender) -> None:
    for path in (PATH, f"{PATH}/gaps"):
        assert sender.app.test_client().get(path).status_code == 401


def test_gaps_are_named_page_by_page(history: WebhookHistory, sender: Sender) -> None:
    seen, cursor = [], None
    while True:
        page = sender.get(f"{PATH}/gaps", limit=2, entity="product", **({"cursor": cursor} if cursor else {})).json
        seen += [(each["source_id"], each["verdict"], each["reason"]) for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [("5", "wrong", "signature_wrong"), ("4", "late", None), ("2", "never", None)]
    [late] = sender.get(f"{PATH}/gaps", verdict="late").json["items"]
    assert late["told_at"] is not None


def test_reception_health_shows_coverage(history: WebhookHistory, sender: Sender) -> None:
    shown = sender.get("/api/tds/zoho/webhooks/health").json["coverage"]
    assert shown["total"]["coverage_ratio"] == 0.4286
    assert by_entity(shown)["invoice"]["state"] == "off"
    assert "cells" not in by_entity(shown)["product"]


def test_gauges_tell_of_it(history: WebhookHistory, sender: Sender) -> None:
    page = sender.get("/metrics").text
    samples = {
        (each.name, *sorted(each.labels.values())): each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
    }
    assert samples["tds_webhook_coverage_ratio", "product"] == 0.4
    assert samples["tds_webhook_coverage_changes", "never", "product"] == 1
    assert ("tds_webhook_coverage_ratio", "price_list") not in samples
    assert samples["tds_findings_open", "warning", "webhook_rule_off"] == 1


def test_the_command_shows_what_the_route_shows(history: WebhookHistory, tds: CommandLine, sender: Sender) -> None:
    result = tds("zoho", "webhooks", "coverage", "--json")
    assert result.exit_code == 1, "invoices are silent"
    theirs = sender.get(PATH).json
    assert {k: v for k, v in result.json.items() if k == "total"} == {"total": theirs["total"]}
    assert by_entity(result.json).keys() == by_entity(theirs).keys()
    only = tds("zoho", "webhooks", "coverage", "--entity", "product", "--json")
    assert (only.exit_code, [each["entity"] for each in only.json["entities"]]) == (0, ["product"])


def test_the_command_names_the_next_step(history: WebhookHistory, tds: CommandLine) -> None:
    said = tds("zoho", "webhooks", "coverage").out
    assert "tds zoho webhooks status" in said
    assert "not announced by webhook" in said
    assert "40.0%" in said
    assert "▒" in said
    named = tds("zoho", "webhooks", "coverage", "--gaps").out
    assert "signature_wrong" in named
    assert tds("zoho", "webhooks", "coverage", "--entity", "nothing").exit_code != 0


def test_the_scheduled_step_measures_and_reports(world: World) -> None:
    history = WebhookHistory(world.engine)
    history.begin()
    history.told("1", changed=130)
    history.change("2", changed=30, found=10)
    assert JOBS["webhook_coverage"]({}) == "2 changes measured, 1 not announced in time, 1 findings open"
    assert JOBS["webhook_coverage"]({}) == "0 changes measured, 0 not announced in time, 1 findings open"
