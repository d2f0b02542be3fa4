"""Settling promises one transaction for all that an item brings, and one verdict for every event."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tds_core.errors import InvalidRecordError, PermanentError, RateError, TransientError
from tds_core.processing import complete
from tds_tasks.work_batches import sync_batch
from tests.support.world import ScriptedSource, World, delivery, invoice, product

ID = "460000000000001"


def test_a_complete_body_becomes_a_row_without_a_call(world: World, source: ScriptedSource) -> None:
    world.know("product", product())
    world.deliver(delivery("product", product()))
    world.drain("product")
    row = world.row("product", ID)
    assert (row["name"], row["version"], row["confirmed_at"]) == (f"Item {ID}", 1, None)
    assert world.verdicts() == ["applied"]
    assert world.queue_depth("product") == source.call_count == 0


def test_an_incomplete_body_is_read(world: World, source: ScriptedSource) -> None:
    source.records[ID] = product(name="whole")
    world.deliver(delivery("product", {"item_id": ID, "name": "part"}, complete=False))
    world.drain("product")
    row = world.row("product", ID)
    assert row["name"] == "whole"
    assert row["confirmed_at"] is not None
    assert world.verdicts() == ["applied"]


def test_a_burst_of_bodies_becomes_one_write_of_the_newest(world: World, source: ScriptedSource) -> None:
    for second in (3, 1, 5, 2):
        world.deliver(delivery("product", product(second=second, rate=second)))
    world.drain("product")
    assert world.row("product", ID)["price"] == 5
    assert world.verdicts() == ["superseded", "superseded", "applied", "superseded"]
    assert len(world.audit("product", ID)) == 1


def test_bodies_of_the_same_second_are_not_believed_but_read(world: World, source: ScriptedSource) -> None:
    source.records[ID] = product(second=4, rate=2)
    world.deliver(delivery("product", product(second=4, rate=2)), delivery("product", product(second=4, rate=1)))
    world.drain("product")
    assert world.row("product", ID)["price"] == 2
    assert sorted(world.verdicts()) == ["applied", "superseded"]
    assert source.asked == [[ID]]


def test_a_body_like_the_row_is_unchanged_and_an_older_one_stale(world: World, source: ScriptedSource) -> None:
    for body in (product(second=5), product(second=5, item_type="inventory"), product(second=3, rate=1)):
        world.deliver(delivery("product", body))
        source.records[ID] = product(second=5, item_type="inventory")
        world.drain("product")
    world.deliver(delivery("product", product(second=5, item_type="inventory", cf_unknown="x")))
    world.drain("product")
    assert world.verdicts() == ["applied", "applied", "stale", "unchanged"]
    assert world.row("product", ID)["price"] == 10.5


def test_a_deletion_is_believed_only_when_the_source_has_no_such_record(world: World, source: ScriptedSource) -> None:
    source.records[ID] = product(second=9, rate=3)
    world.deliver(delivery("product", product(second=1), event="deleted"))
    world.drain("product")
    assert world.row("product", ID)["price"] == 3
    del source.records[ID]
    world.deliver(delivery("product", product(second=2), event="deleted"))
    world.drain("product")
    assert world.row("product", ID)["deleted_at"] is not None
    assert world.verdicts() == ["applied", "deleted"]
    assert [entry["operation"] for entry in world.audit("product", ID)] == ["created", "deleted"]


def test_a_late_body_never_resurrects_a_deleted_record(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", product(second=1), event="deleted"))
    world.drain("product")
    world.deliver(delivery("product", product(second=7)))
    world.drain("product")
    assert world.row("product", ID)["deleted_at"] is not None
    assert world.verdicts() == ["deleted", "unchanged"]


def test_a_body_that_cannot_be_a_row_is_read_before_anything_is_given_up(world: World, source: ScriptedSource) -> None:
    source.records[ID] = product(second=1, rate=4)
    unfit = msgspec.json.encode({**product(second=1), "item_id": None})
    world.deliver(replace(delivery("product", product(second=1)), record=unfit))
    world.drain("product")
    assert world.row("product", ID)["price"] == 4
    assert world.verdicts() == ["applied"]


def test_a_body_with_a_value_that_cannot_be_read_goes_in_and_the_record_is_read(
    world: World, source: ScriptedSource
) -> None:
    world.know("product", product())
    source.records[ID] = product(second=1, rate=4)
    world.deliver(delivery("product", product(second=1, rate="9,99", sku="S")))
    sync_batch("product")
    row = world.row("product", ID)
    assert (row["price"], row["sku"], source.asked) == (None, "S", [])
    assert world.verdicts() == ["applied"]
    world.drain("product")
    assert (world.row("product", ID)["price"], len(source.asked)) == (4, 1)
    assert world.value("select resolved_by from tds_findings where kind = 'unreadable_value'") == "sync"


def test_a_record_that_breaks_the_rules_is_a_dead_letter_with_its_reason(world: World, source: ScriptedSource) -> None:
    source.records[ID] = {**product(), "item_id": None}
    world.deliver(delivery("product", product(rate=-4), complete=False))
    world.drain("product")
    letter = world.one("select * from tds_dead_letter_queue")
    assert (letter["error_class"], letter["attempts"], letter["record"]["rate"]) == ("validation", 1, -4)
    assert letter["error"] == "item_id: required, but empty"
    assert world.verdicts() == ["dead_lettered"]
    assert world.queue_depth() == 0


def test_a_permanent_error_is_not_tried_again(world: World, source: ScriptedSource) -> None:
    source.records[ID] = PermanentError("HTTP 400, code 2: no")
    world.enqueue("product", ID)
    world.drain("product")
    world.drain("product", make_due=True)
    assert len(source.asked) == 1
    assert world.value("select error_class from tds_dead_letter_queue") == "permanent"


def test_a_transient_error_is_tried_so_often_and_then_given_up(world: World, source: ScriptedSource) -> None:
    source.records[ID] = TransientError("HTTP 503")
    world.deliver(delivery("product", product(), complete=False))
    for _ in range(12):
        world.drain("product", make_due=True)
    assert len(source.asked) == 8
    outcomes = [row["outcome"] for row in world.rows("select outcome from tds_sync_logs order by id")]
    assert outcomes == ["retry"] * 7 + ["dead"]
    assert world.verdicts() == ["dead_lettered"]


def test_a_refusal_that_says_when_to_come_back_costs_no_attempt(world: World, source: ScriptedSource) -> None:
    source.records[ID] = RateError("HTTP 429", after_seconds=0.01)
    world.deliver(delivery("product", product(), complete=False))
    for _ in range(12):
        world.execute("update tds_source_tokens set paused_until = null")
        world.drain("product", make_due=True)
    item = world.one("select * from tds_sync_queue")
    assert (item["attempts"], item["snoozes"]) == (0, 12)
    assert world.verdicts() == [None]


def test_a_dead_letter_is_closed_when_its_record_is_brought_over(world: World, source: ScriptedSource) -> None:
    source.records[ID] = PermanentError("no")
    world.enqueue("product", ID)
    world.drain("product")
    world.deliver(delivery("product", product()))
    world.drain("product")
    assert world.value("select resolution from tds_dead_letter_queue") == "healed"


def test_an_event_that_comes_while_its_record_dies_is_not_lost(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", product(second=1), complete=False))

    def read(*given: Any, **named: Any) -> Any:
        if not source.asked:
            world.deliver(delivery("product", product(second=2, rate=2)))
        return ScriptedSource.read(source, *given, **named)

    source.records[ID] = {**product(second=1), "item_id": None}
    source.read = read  # type: ignore[method-assign]
    sync_batch("product")
    source.records[ID] = product(second=2, rate=2)
    world.drain("product", make_due=True)
    assert world.verdicts() == ["dead_lettered", "applied"]
    assert world.row("product", ID)["price"] == 2
    assert world.queue_depth("product") == 0


def test_an_event_that_comes_while_its_record_is_written_goes_round_again(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.know("product", product())
    world.deliver(delivery("product", product(second=1, rate=1)))
    claim = world.claim()
    assert claim is not None
    world.deliver(delivery("product", product(second=2, rate=2)))
    settled(world, claim, product(second=1, rate=1))
    assert world.verdicts() == ["applied", None]
    world.drain("product")
    assert world.verdicts() == ["applied", "applied"]
    assert world.row("product", ID)["price"] == 2


def settled(world: World, claim: Any, record: dict[str, Any]) -> complete.Completion:
    """Settle `claim` with what a body said."""
    from tds_core.queue.webhook_body_selection import bodies, pending_events
    from tds_models.db import session_scope
    from tds_models.entities import ENTITIES

    with session_scope(world.engine) as session:
        events = pending_events(session, claim)
        candidates, _ = bodies(ENTITIES[claim.entity], claim.items, events)
        return complete.complete_batch(
            session, claim, candidates=candidates, failures={}, max_attempts=8, jitter=lambda: 0.5
        )


@pytest.mark.parametrize("where", ["queue_items.log_attempts", "end_events", "queue_items.finish", "burial.resolve"])
def test_nothing_of_an_interrupted_settlement_is_visible(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world.deliver(delivery("invoice", invoice()))
    claim = world.claim("invoice")
    *module, name = where.split(".")
    owner: Any = getattr(complete, module[0]) if module else complete
    whole: Callable[..., Any] = getattr(owner, name)

    def break_off(*given: Any, **named: Any) -> Any:
        whole(*given, **named)
        raise RuntimeError("power cut")

    monkeypatch.setattr(owner, name, break_off)
    with pytest.raises(RuntimeError, match="power cut"):
        settled(world, claim, invoice())
    assert_nothing_settled(world)


def assert_nothing_settled(world: World) -> None:
    for table in ("erp.invoice", "erp.invoice_line", "tds_audit_trail", "tds_sync_logs"):
        assert world.value(f"select count(*) from {table}") == 0, table
    assert world.verdicts() == [None]
    assert world.queue_depth() == 1


def test_a_connection_cut_midway_leaves_nothing_and_costs_no_attempt(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(delivery("invoice", invoice()))
    whole = complete.end_events

    def cut(session: Any, *given: Any) -> Any:
        pid = session.connection().exec_driver_sql("select pg_backend_pid()").scalar()
        world.execute("select pg_terminate_backend(:pid)", pid=pid)
        return whole(session, *given)

    monkeypatch.setattr(complete, "end_events", cut)
    sync_batch("invoice")
    assert_nothing_settled(world)
    assert world.value("select attempts from tds_sync_queue where lease_token is null") == 0
    monkeypatch.setattr(complete, "end_events", whole)
    world.drain("invoice", make_due=True)
    assert world.verdicts() == ["applied"]
    assert world.row("invoice", "460000000900001")["version"] == 1


def test_a_worker_that_lost_its_lease_writes_nothing(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", product()))
    lost = world.claim()
    assert lost is not None
    world.execute("update tds_sync_queue set lease_token = gen_random_uuid()")
    settlement = settled(world, lost, product())
    assert not settlement.counts
    assert world.value("select count(*) from erp.product") == 0
    assert world.verdicts() == [None]
    assert world.queue_depth() == 1


def test_every_attempt_is_in_the_log_with_its_end(world: World, source: ScriptedSource) -> None:
    source.records[ID] = TransientError("HTTP 503")
    world.enqueue("product", ID)
    world.drain("product")
    source.records[ID] = product()
    world.drain("product", make_due=True)
    logged = world.rows("select outcome, attempt, error_class, error from tds_sync_logs order by id")
    assert [tuple(row.values()) for row in logged] == [
        ("retry", 1, "transient", "HTTP 503"),
        ("created", 2, None, None),
    ]


def test_the_errors_text_is_kept_in_bounds(world: World, source: ScriptedSource) -> None:
    source.records[ID] = PermanentError("x" * 100_000)
    world.enqueue("product", ID)
    world.drain("product")
    assert len(world.value("select error from tds_dead_letter_queue")) == 2000


def test_no_poisoned_record_takes_the_rest_of_its_batch_down(world: World, source: ScriptedSource) -> None:
    others = [f"46000000000000{n}" for n in range(2, 9)]
    source.records.update({each: product(each) for each in others})
    source.records[ID] = InvalidRecordError("broken")
    world.enqueue("product", ID, *others)
    world.drain("product")
    assert world.value("select count(*) from erp.product") == len(others)
    assert world.value("select count(*) from tds_dead_letter_queue") == 1


def test_a_fault_of_ours_gives_the_records_back_unharmed(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any) -> Any:
        raise ZeroDivisionError

    world.deliver(delivery("product", product()))
    monkeypatch.setattr("tds_tasks.work_batches.bodies", fault)
    claim = sync_batch("product")
    assert claim is not None
    assert len(claim.items) == 1
    item = world.one("select lease_token, attempts, crashes, next_attempt_at > now() as waits from tds_sync_queue")
    assert (item["lease_token"], item["attempts"], item["crashes"], item["waits"]) == (None, 0, 0, True)
    assert world.verdicts() == [None]


def test_a_long_queue_has_no_batch_look_through_all_events(world: World) -> None:
    """Statistics of a partition are gathered by PostgreSQL itself, those of the whole table once a day by TDS."""
    world.execute(
        "insert into tds_inbox_events (source, entity, event, source_id, record, complete, generation, correlation_id)"
        " select 'zoho', 'product', 'updated', n::text, '{}', true, n, '' from generate_series(1, 60000) n"
    )
    partition = world.value("select distinct tableoid::regclass::text from tds_inbox_events")
    world.execute(f"analyze {partition}")
    rows = [
        {"source_id": str(n), "generation": n, "verdict": "applied", "chosen": None, "reason": None}
        for n in range(1, 101)
    ]
    params = {"source": "zoho", "entity": "product", "rows": msgspec.json.encode(rows).decode()}
    plan = "\n".join(row["QUERY PLAN"] for row in world.rows(f"explain {complete.END_EVENTS.text}", **params))
    assert "Index Scan" in plan
    assert f"Seq Scan on {partition}" not in plan
