"""Log lines say who asked and for what: of a request, of the work it caused, of webhooks and of calls to Zoho."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine
from structlog.testing import LogCapture

from tds_core.auth import action_log
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.principal import Principal, PrincipalKind
from tds_core.sources.base import ListPage
from tds_models.auth import ActionOutcome, Role
from tds_models.db import session_scope
from tds_tasks import work_batches
from tests.support.webhook_sender import TOKEN, Sender, sender_for, wrapped
from tests.support.world import ScriptedSource, World, delivery, product


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """Every line that is logged, with what is bound to its context."""
    kept = structlog.get_config()["processors"]
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.configure(processors=kept)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def sender(database: str, engine: Engine, redis_url: str) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_REDIS_URL=redis_url) as sender:
        yield sender


def of(lines: list[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


def test_lines_of_a_request_name_its_caller_and_never_the_one_before(sender: Sender, lines: list[Any]) -> None:
    log = structlog.get_logger("view")
    sender.app.before_request(lambda: log.info("in_view"))
    named = {"X-Correlation-Id": "c-1", "Authorization": f"Bearer {TOKEN}"}
    sender.app.test_client().get("/api/tds/queue/stats", headers=named)
    sender.app.test_client().get("/healthz", headers={"X-Correlation-Id": "c-2"})
    first, second = of(lines, "in_view")
    assert (first["caller"], first["correlation_id"]) == ("token", "c-1")
    assert (second.get("caller"), second["correlation_id"]) == (None, "c-2")


def test_accepted_webhooks_leave_one_line_that_leads_to_their_events(sender: Sender, lines: list[Any]) -> None:
    answers = [sender.send(wrapped("1"), headers={"X-Correlation-Id": f"c-{number}"}) for number in range(2)]
    sender.send(b"{}")  # refused: no line of acceptance
    first, second = of(lines, "webhooks_accepted")
    event_id = int(answers[0].json["event_id"])
    assert first["event_ids"] == second["event_ids"] == [event_id]
    assert (first["count"], first["duplicate_count"], second["duplicate_count"]) == (1, 0, 1)
    assert (first["correlation_ids"], second["correlation_ids"]) == (["c-0"], ["c-1"])
    assert first["entities"] == ["product"]


def asked_by(world: World, name: str, correlation_id: str) -> None:
    caller = Principal(PrincipalKind.OPERATOR, name, Role.OPERATOR)
    entry = ActionEntry(caller=caller, operation="syncs.sync", subject="product/1", correlation_id=correlation_id)
    with session_scope(world.engine) as session:
        action_log.record(session, entry, ActionOutcome.BEGUN)


def test_work_a_person_asked_for_names_the_person(world: World, source: ScriptedSource, lines: list[Any]) -> None:
    asked_by(world, "ann", "c-ann")
    source.records = {"1": product("1"), "2": product("2")}
    world.enqueue("product", "1", correlation_id="c-ann")
    world.deliver(delivery("product", product("2")))
    world.drain("product")
    callers = {line["source_id"]: line.get("caller") for line in of(lines, "sync_item_completed")}
    assert callers == {"1": "ann", "2": None}


def test_a_call_carries_the_ids_it_serves(world: World, monkeypatch: pytest.MonkeyPatch, lines: list[Any]) -> None:
    log = structlog.get_logger("client")

    class Speaking(ScriptedSource):
        def read(self, stream: Any, source_ids: Any, *, traffic: Any) -> Any:
            log.info("source_call_completed")
            return super().read(stream, source_ids, traffic=traffic)

    speaking = Speaking(records={"1": product("1"), "2": product("2")})
    monkeypatch.setattr(work_batches, "source", lambda _name: speaking)
    asked_by(world, "ann", "c-1")
    for number in ("1", "2"):
        world.enqueue("product", number, correlation_id=f"c-{number}")
    world.drain("product")
    served = of(lines, "source_call_completed")
    assert {each for line in served for each in line["correlation_ids"]} == {"c-1", "c-2"}
    assert any(line.get("callers") == ["ann"] for line in served)


def test_lines_of_a_run_name_who_requested_it(world: World, source: ScriptedSource, lines: list[Any]) -> None:
    source.pages = [ListPage([], has_more=False)]
    world.advance(world.request_run("product", "full"))
    [ended] = of(lines, "run_completed")
    assert (ended["caller"], ended["entity"]) == ("test", "product")
