"""The story promises: all that happened to a record is in it once, in order, with what it comes to on top."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from tds_core.errors import InvalidCursorError, InvalidRecordError, NotFoundError
from tds_core.explain.timeline import StepFilter, explain
from tds_core.inbox.rejected import Rejection, keep_rejected
from tds_core.mirror import row_queries as mirror_rows
from tds_core.mirror.as_of import row_at, rows_at
from tds_core.pagination import encode_cursor
from tds_core.sync.run_requests import InvalidRequestError
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, delivery, invoice, product

ID, INVOICE = "460000000000001", "460000000900001"
PRODUCT = ENTITIES["product"]


def story(world: World, **asked: Any) -> dict[str, Any]:
    with session_scope(world.engine) as session:
        return explain(session, PRODUCT, ID, StepFilter(**asked))


def kinds(told: dict[str, Any]) -> list[str]:
    return [step["kind"] for step in told["steps"]]


def tell(world: World, record: dict[str, Any], entity: str = "product", **more: Any) -> None:
    world.deliver(delivery(entity, record, **more))
    world.drain(entity)


def refuse(world: World) -> None:
    refused = Rejection(
        reason="signature_wrong", detail="x", status=401, path="/w", headers={}, remote_address="10.0.0.9", body=b"{}",
        body_size=2, correlation_id="bad", entity="product", source_id=ID,
    )  # fmt: skip
    with session_scope(world.engine) as session:
        keep_rejected(session, refused)


@pytest.fixture
def lived(world: World, source: ScriptedSource) -> World:
    """A product that was created, changed, changed again by reading it, and about which a forged webhook came."""
    tell(world, product(rate=10))
    tell(world, product(second=5, rate=11, name="New"))
    source.records[ID] = product(second=9, rate=12, name="New")
    world.enqueue("product", ID)
    world.drain("product")
    refuse(world)
    world.execute(
        "insert into tds_operator_actions (caller, caller_kind, operation, subject, entity, source_ids, outcome,"
        " correlation_id) values ('ann', 'operator', 'syncs.start', '/sync/product', 'product', array[:id], 'begun',"
        " 'a')",
        id=ID,
    )
    world.execute(
        "insert into tds_operator_actions (begun_id, caller, caller_kind, operation, subject, outcome, status, "
        "correlation_id) select id, 'ann', 'operator', 'syncs.start', '/sync/product', 'done', 202, 'a' "
        "from tds_operator_actions"
    )
    return world


def test_everything_is_in_it_once_and_in_order(lived: World) -> None:
    told = story(lived)
    assert kinds(told) == ["event", "attempt", "change"] * 2 + ["attempt", "change", "refused", "action"]
    assert told["next_cursor"] is None
    changes = [step["detail"] for step in told["steps"] if step["kind"] == "change"]
    assert json.loads(bytes(changes[1]["changes"])) == {"price": ["10", "11"], "name": [f"Item {ID}", "New"]}
    assert [change["origin"] for change in changes] == ["webhook", "webhook", "operator"]
    assert 0 < changes[1]["after_seconds"] < 60
    action = told["steps"][-1]["detail"]
    assert (action["caller"], action["outcome"], action["status"]) == ("ann", "done", 202)


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_its_pages_put_together_are_the_whole(lived: World, limit: int) -> None:
    whole, pages, cursor = story(lived)["steps"], [], None
    for _ in range(20):
        page = story(lived, limit=limit, cursor=cursor)
        pages.insert(0, page["steps"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert all(len(page) <= limit for page in pages)
    assert sorted(msgspec.json.encode(step) for page in pages for step in page) == sorted(
        msgspec.json.encode(step) for step in whole
    )


@pytest.mark.parametrize("mark", [
    {"event": ["x"]}, {"event": [1, 2]}, {"event": [2**70]}, {"attempt": ["yesterday", 1]}, {"change": [2**40]},
    {"attempt": [1, 1]}, {"event": []}, [1], "x",
])  # fmt: skip
def test_a_cursor_nobody_gave_out_is_refused(world: World, mark: Any) -> None:
    with pytest.raises(InvalidCursorError):
        story(world, cursor=encode_cursor(mark))


def test_it_can_be_bounded_in_time(lived: World) -> None:
    first = lived.value("select recorded_at from tds_audit_trail where version = 2")
    assert kinds(story(lived, since=first, until=first + timedelta(microseconds=1))) == ["attempt", "change"]


def test_of_one_field_only_what_set_it_and_what_could_have(lived: World) -> None:
    told = story(lived, field="name")
    assert kinds(told) == ["change", "change", "refused", "action"]
    assert json.loads(bytes(told["steps"][1]["detail"]["changes"])) == {"name": [f"Item {ID}", "New"]}
    assert told["verdict"]["field"].startswith("name is New: version 2, updated at ")
    assert told["verdict"]["field"].endswith(" It is Zoho's name.")
    assert "It is Zoho's rate." in story(lived, field="price")["verdict"]["field"]
    with pytest.raises(InvalidRequestError, match=r"has no field 'colour'\. It has: .*price"):
        story(lived, field="colour")


def test_a_repeated_delivery_is_reported_with_its_event(world: World, source: ScriptedSource) -> None:
    for _ in range(3):
        tell(world, product())
    [event] = [step["detail"] for step in story(world)["steps"] if step["kind"] == "event"]
    assert event["duplicate_count"] == 2


def test_the_verdict_says_what_keeps_a_record_from_being_equal(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verdict() -> tuple[str, str]:
        found = story(world)["verdict"]
        return found["state"], found["says"] + str(found["next"])

    assert verdict()[0] == "unknown"
    refuse(world)
    assert verdict()[0] == "refused"
    tell(world, product(rate=10))
    assert verdict()[0] == "unconfirmed"
    source.records[ID] = product(second=3, rate=11)
    world.enqueue("product", ID)
    assert verdict()[0] == "owed"
    world.drain("product")
    assert verdict()[0] == "equal"
    world.execute("update erp.product set lines_confirmed_at = null")
    assert verdict()[0] == "listed"
    world.execute("update erp.product set lines_confirmed_at = now()")
    refuse(world)
    assert "signature_wrong" in verdict()[1]
    source.records[ID] = InvalidRecordError("rate: -1 is less than 0")
    world.enqueue("product", ID)
    world.drain("product")
    state, says = verdict()
    assert (state, "rate: -1 is less than 0" in says, "tds dead-letter show" in says) == ("dead_letter", True, True)
    world.execute("update tds_dead_letter_queue set resolved_at = now(), resolution = 'resolved'")
    del source.records[ID]
    world.enqueue("product", ID)
    world.drain("product")
    assert verdict()[0] == "deleted"


def test_an_attempt_says_how_its_call_went(synced: World, standin: StandIn) -> None:
    known = standin.ids("items")[0]
    standin.fail("html_502", "/inventory/v1/items", count=1)
    synced.enqueue("product", known)
    synced.drain("product")
    synced.drain("product", make_due=True)
    with session_scope(synced.engine) as session:
        steps = explain(session, PRODUCT, known)["steps"]
    first, second = [step["detail"] for step in steps if step["kind"] == "attempt"]
    assert (first["exchange"]["status"], first["error_class"]) == (502, "transient")
    assert (second["exchange"]["status"], second["exchange"]["path"]) == (200, f"items/{known}")
    assert 0 < second["exchange"]["seconds"] < 60
    assert not any("token" in str(each["exchange"]).lower() for each in (first, second))


def test_a_webhook_applied_as_it_came_has_no_call(lived: World) -> None:
    attempts = [step["detail"]["exchange"] for step in story(lived)["steps"] if step["kind"] == "attempt"]
    assert attempts[:2] == [None, None]


def test_a_dead_letter_tells_what_became_of_it(world: World, source: ScriptedSource) -> None:
    source.records[ID] = InvalidRecordError("rate: -1 is less than 0")
    tell(world, product(rate=-1), complete=False)
    world.execute("""insert into tds_dead_letter_actions (letter_id, operator, action)
                     select id, 'ann', 'assigned' from tds_dead_letter_queue""")
    world.execute("update tds_dead_letter_queue set resolved_at = now(), resolution = 'resolved'")
    [letter] = [step["detail"] for step in story(world)["steps"] if step["kind"] == "dead_letter"]
    assert (letter["error_class"], letter["resolution"]) == ("validation", "resolved")
    assert [(each["operator"], each["action"]) for each in letter["actions"]] == [("ann", "assigned")]


def test_runs_that_were_asked_for_it_or_changed_it_are_reported(world: World, source: ScriptedSource) -> None:
    request = """insert into tds_sync_runs (source, entity, mode, state, requested_by, asked, correlation_id)
                 values ('zoho', 'product', :mode, 'completed', 'ann', cast(:asked as jsonb), 'c')"""
    world.execute(request, mode="targeted", asked=f'{{"ids": ["{ID}"], "after": 0}}')
    world.execute(request, mode="targeted", asked='{"ids": ["2"], "after": 0}')
    world.execute(request, mode="full", asked="{}")
    world.execute(
        "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id,"
        " correlation_id) select 'zoho', 'product', :id, 1, 'created', '{}', 'run', id, 'c' from tds_sync_runs"
        " where mode = 'full'",
        id=ID,
    )
    told = story(world)
    assert [step["detail"]["mode"] for step in told["steps"] if step["kind"] == "run"] == ["targeted", "full"]
    assert told["verdict"]["last_change"].endswith("by run 3 (full, asked by ann)")


class TestPast:
    """Every state there was can be read again, exactly."""

    def test_each_version_is_read_as_it_stood(self, world: World, source: ScriptedSource) -> None:
        stood = []
        for second, more in enumerate(({"rate": "10.50"}, {"rate": None, "cf_colour": "red"}, {"name": "Ünï"})):
            tell(world, product(second=second, **more))
            moment = world.value("select clock_timestamp()")
            stood.append((moment, world.one(f"select * from erp.product where source_id = '{ID}'")))
        names = [field.name for field in PRODUCT.fields]
        with session_scope(world.engine) as session:
            for moment, row in stood:
                then = row_at(session, PRODUCT, ID, moment)
                for name in names:
                    value = json.loads(bytes(then[name])) if name == "custom_fields" and then[name] else then[name]
                    assert value == row[name], (row["version"], name)
                    assert str(value) == str(row[name])
                assert [then[name] for name in ("version", "source_modified_at", "deleted_at")] == [
                    row["version"], row["source_modified_at"], None,
                ]  # fmt: skip

    def test_lines_are_read_as_they_stood(self, world: World, source: ScriptedSource) -> None:
        world.know("invoice", invoice())
        tell(world, invoice(), "invoice")
        before = world.value("select clock_timestamp()")
        lines = world.rows("select * from erp.invoice_line order by position")
        changed = invoice(second=5, line_items=invoice()["line_items"][1:])
        tell(world, changed, "invoice")
        with session_scope(world.engine) as session:
            then = row_at(session, ENTITIES["invoice"], INVOICE, before)
            now = row_at(session, ENTITIES["invoice"], INVOICE, world.value("select clock_timestamp()"))
        left = [{name: value for name, value in line.items() if name not in ("source", "parent_id")} for line in lines]
        assert [{name: value for name, value in line.items() if name != "parent_id"} for line in then["lines"]] == left
        assert len(now["lines"]) == 1

    def test_deletions_and_births_are_seen(self, world: World, source: ScriptedSource) -> None:
        beginning = world.value("select clock_timestamp()")
        tell(world, product())
        alive = world.value("select clock_timestamp()")
        tell(world, product("2"))
        world.enqueue("product", ID)
        world.drain("product")
        gone = world.value("select clock_timestamp()")
        with session_scope(world.engine) as session:
            with pytest.raises(NotFoundError, match="There was no product"):
                row_at(session, PRODUCT, ID, beginning)
            assert row_at(session, PRODUCT, ID, alive)["deleted_at"] is None
            assert row_at(session, PRODUCT, ID, gone)["deleted_at"] is not None
            assert [row["source_id"] for row in rows_at(session, PRODUCT, at=alive).items] == [ID]
            assert rows_at(session, PRODUCT, at=beginning).items == []
            living = rows_at(session, PRODUCT, at=gone, deleted=False)
            assert [row["source_id"] for row in living.items] == ["2"]

    def test_as_of_now_every_row_of_every_entity_is_the_mirrors(self, synced: World) -> None:
        for entity in ("location", "category", "product", "customer", "price_list", "invoice", "customer_payment"):
            synced.run(entity, "full")
        now = synced.value("select clock_timestamp()")
        for entity in ENTITIES.values():
            names = [field.name for field in entity.fields] + list(entity.line_tables)
            with session_scope(synced.engine) as session:
                ids = [row["source_id"] for row in mirror_rows.rows(session, entity, limit=500).items]
                for source_id in ids:
                    then, stands = (
                        row_at(session, entity, source_id, now),
                        mirror_rows.row(session, entity, source_id),
                    )
                    for name in names:
                        assert spelled(then[name]) == spelled(stands[name]), (entity.name, source_id, name)
                    assert then["version"] == stands["version"]


def spelled(value: Any) -> Any:
    """A value digit for digit; of lines what belongs to them."""
    if isinstance(value, list):
        return [{k: spelled(v) for k, v in line.items() if k not in ("source", "parent_id")} for line in value]
    return bytes(value) if isinstance(value, msgspec.Raw) else str(value)


@pytest.fixture
def tds(lived: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_the_command_shows_the_past_with_its_story_until_then(tds: CommandLine, lived: World) -> None:
    then = lived.value("select recorded_at from tds_audit_trail where version = 1 and entity = 'product'").isoformat()
    said = tds("explain", "product", ID, "--as-of", then, "--json").json
    assert (said["row"]["price"], said["row"]["version"]) == ("10", 1)
    shown = tds("explain", "product", ID, "--as-of", then).out
    assert "As it stood then" in shown
    assert tds("explain", "product", ID, "--as-of", "3d").exit_code == 1


def test_the_command_pages_and_narrows(tds: CommandLine) -> None:
    page = tds("explain", "product", ID, "--limit", "2", "--json").json
    assert [step["kind"] for step in page["steps"]] == ["refused", "action"]
    older = tds("explain", "product", ID, "--limit", "2", "--cursor", page["next_cursor"])
    assert "version 3 updated by operator" in older.out
    assert "Older steps: --cursor" in older.out
    wrong = tds("explain", "product", ID, "--field", "colour")
    assert (wrong.exit_code, "It has: " in wrong.errors) == (1, True)
    narrowed = tds("explain", "product", ID, "--field", "price").out
    assert "Price is 12: version 3" in narrowed
    assert "webhook refused with 401: signature_wrong from 10.0.0.9" in narrowed


#: Each statement a story is made of finds its rows by an index, however many others there are.
SEED = """
insert into tds_inbox_events (source, entity, event, source_id, correlation_id, verdict, verdict_at)
select 'zoho', 'product', 'updated', (n % 4000)::text, 'c', 'applied', now() from generate_series(1, 20000) n;
insert into tds_inbox_fingerprints (fingerprint, event_id, duplicate_count)
select sha256(n::text::bytea), n, n % 2 from generate_series(1, 20000) n;
insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, correlation_id)
select 'zoho', 'product', (n % 4000)::text, n, 1, 'updated', 'c' from generate_series(1, 20000) n;
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id, correlation_id)
select 'zoho', 'product', (n % 4000)::text, n / 4000 + 1, 'updated', '{"price": ["1", "2"]}', 'webhook', n, 'c'
from generate_series(1, 20000) n;
insert into tds_rejected_deliveries (reason, detail, status, path, headers, body_start, body_size, correlation_id,
    entity, source_id)
select 'x', '', 401, '/', '{}', '', 0, 'c', 'product', (n % 4000)::text from generate_series(1, 9000) n;
insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts, priority,
    correlation_id)
select 'zoho', 'product', (n % 4000)::text, 'x', 'y', 'z', 1, 5, 'c' from generate_series(1, 9000) n;
insert into tds_operator_actions (caller, caller_kind, operation, subject, entity, source_ids, outcome, correlation_id)
select 'ann', 'operator', 'x', 'y', 'product', array[(n % 4000)::text], 'done', 'c' from generate_series(1, 9000) n;
insert into tds_sync_runs (source, entity, mode, state, requested_by, asked, correlation_id)
select 'zoho', (array['product', 'invoice', 'bill', 'vendor'])[n % 4 + 1], 'incremental', 'completed', 'x', '{}', 'c'
from generate_series(1, 4000) n;
"""
GROWING = ("tds_inbox_events", "tds_inbox_fingerprints", "tds_sync_logs", "tds_audit_trail", "tds_rejected_deliveries",
           "tds_dead_letter_queue", "tds_operator_actions", "tds_sync_runs")  # fmt: skip


def test_every_part_of_a_story_is_found_by_an_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for statement in SEED.split(";\n")[:-1]:
        world.execute(statement)
    autocommit = world.engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.execute(text("vacuum analyze"))
    plans: list[str] = []
    with session_scope(world.engine) as session:
        execute = session.execute

        def explained(statement: Any, given: Any = None, **more: Any) -> Any:
            if given is not None:
                rows = execute(text(f"explain {statement}"), given).scalars()
                plans.append("\n".join(rows))
            return execute(statement, given, **more)

        monkeypatch.setattr(session, "execute", explained)
        page = explain(session, PRODUCT, "77", StepFilter(limit=2))
        explain(session, PRODUCT, "77", StepFilter(limit=2, cursor=page["next_cursor"], field="price"))
        row_plans = len(plans)
    assert row_plans > 14
    # Of a partitioned table, the partitions with rows; the empty ones are read whole with one look.
    filled = {row["name"] for table in GROWING
              for row in world.rows(f"select distinct tableoid::regclass::text as name from {table}")}  # fmt: skip
    scanned = [(name, plan) for plan in plans for name in filled if f"Seq Scan on {name} " in plan]
    assert scanned == []
