"""The history checker: silent on an honest history, and loud about each kind of broken promise."""

import pytest

from tds_core.invariants.verify import InvariantResult, all_checks, verify
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.database_role import superuser
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, delivery, invoice, product

ONE = "460000000000001"
INVOICE = "460000000900001"


def findings(world: World) -> dict[str, InvariantResult]:
    with session_scope(world.engine) as session:
        return {each.name: each for each in verify(session)}


def broken(world: World) -> dict[str, list[str]]:
    """What the checker complains about: each broken check with the records it names."""
    found = findings(world).values()
    return {each.name: [str(case.source_id) for case in each.examples] for each in found if each.violation_count}


def tamper(world: World, *statements: str) -> None:
    """Change what nobody may change, as somebody with all rights over the database could."""
    with superuser(world.engine) as session:
        for statement in ("set local session_replication_role = replica", *statements):
            session.connection().exec_driver_sql(statement)


@pytest.fixture
def lived(world: World, source: ScriptedSource) -> World:
    """A product with three versions, an invoice with lines, and every event at its end."""
    for second, price in ((0, 10), (1, 11), (2, 12)):
        world.deliver(delivery("product", product(second=second, rate=price)))
        world.drain("product")
    world.deliver(delivery("invoice", invoice()))
    world.drain("invoice")
    source.records.update({ONE: product(second=2, rate=12), "460000000000002": product("460000000000002")})
    for entity in ("product", "stock_level"):
        world.drain(entity)
    assert world.row("product", ONE)["version"] == 3
    return world


def test_an_honest_history_breaks_no_promise(lived: World) -> None:
    assert broken(lived) == {}
    found = findings(lived)
    assert found["time_only_moves_on"].looked_at_count >= 4
    assert found["invoice_lines_equal_their_replay"].looked_at_count == 2
    assert found["applied_events_had_an_effect"].looked_at_count == 4


def test_work_under_way_is_no_violation(lived: World) -> None:
    lived.deliver(delivery("product", product(second=3)))
    assert broken(lived) == {}
    assert lived.claim() is not None
    assert broken(lived) == {}


def test_deletions_and_returns_are_honest(lived: World, source: ScriptedSource) -> None:
    del source.records[ONE]
    lived.enqueue("product", ONE)
    lived.drain("product")
    assert lived.row("product", ONE)["deleted_at"] is not None
    source.records[ONE] = product(second=1, rate=11)
    lived.enqueue("product", ONE)
    lived.drain("product")
    assert lived.row("product", ONE)["deleted_at"] is None
    assert broken(lived) == {}


def test_all_that_a_source_sends_replays_to_the_same_rows(synced: World, standin: StandIn) -> None:
    for entity in ("location", "category", "user", "product", "customer", "vendor", "price_list", "sales_order",
                   "invoice", "customer_payment", "credit_note", "bill", "stock_adjustment"):  # fmt: skip
        synced.run(entity, "full")
    synced.drain("stock_level")
    assert broken(synced) == {}
    assert findings(synced)["sales_order_equals_its_replay"].looked_at_count > 0


FIRST = "id = (select min(id) from tds_inbox_events)"
OPEN_EVENT = f"""
insert into tds_inbox_events (source, entity, event, source_id, record, complete, generation, correlation_id)
values ('zoho', 'product', 'updated', '{ONE}', '{{}}', true, 1, 'c')"""
AGAIN = """
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id, correlation_id,
    source_modified_at)
select source, entity, source_id, {version}, operation, changes, origin, {origin_id}, correlation_id, {modified}
from tds_audit_trail where entity = 'product' and source_id = '{id}' and version = 3"""
WORK = f"""
insert into tds_sync_queue (source, entity, source_id, priority, correlation_id, lease_token, leased_until, must_read)
values ('zoho', 'product', '{ONE}', 5, 'c', {{token}}, {{until}}, {{must_read}})"""
ENDED = "update tds_sync_queue set generation = (select max(generation) from tds_sync_logs where entity = 'product')"
ROW = f"update erp.product set {{change}} where source_id = '{ONE}'"

PLANTED: dict[str, tuple[list[str], list[str]]] = {
    "an event that is neither done nor owed": ([OPEN_EVENT], ["events_end_or_are_owed"]),
    "an event newer than the work that is owed": (
        [WORK.format(token="null", until="null", must_read="true"), OPEN_EVENT,
         "update tds_sync_queue set generation = 0"],
        ["events_end_or_are_owed"],
    ),
    "a verdict taken back": (
        [f"update tds_inbox_events set verdict = null, verdict_at = null where {FIRST}"],
        ["events_end_or_are_owed"],
    ),
    "a verdict nobody gave": (
        [f"update tds_inbox_events set verdict_at = null where {FIRST}"],
        ["verdicts_are_dated"],
    ),
    "an effect that was rolled back while its verdict stayed": (
        [OPEN_EVENT, "update tds_inbox_events set verdict = 'applied', verdict_at = now() where verdict is null"],
        ["applied_events_had_an_effect"],
    ),
    "work given up without a letter": (
        [OPEN_EVENT, "update tds_inbox_events set verdict = 'dead_lettered', verdict_at = now() where verdict is null"],
        ["given_up_events_have_a_letter"],
    ),
    "an accepted event that is gone": (
        [f"delete from tds_inbox_events where {FIRST}"],
        ["duplicates_lead_to_an_event"],
    ),
    "work for nothing": ([WORK.format(token="null", until="null", must_read="false")], ["work_has_a_reason"]),
    "a lease nobody takes back": (
        [WORK.format(token="gen_random_uuid()", until="now() - interval '2 minutes'", must_read="true")],
        ["silent_leases_are_taken_back"],
    ),
    "a lease that never ends": (
        [WORK.format(token="gen_random_uuid()", until="now() + interval '1 year'", must_read="true")],
        ["silent_leases_are_taken_back"],
    ),
    "two workers that finished the same work": (
        [f"""insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, worker, correlation_id)
             select source, entity, source_id, generation, 1, 'unchanged', 'zombie', '' from tds_sync_logs
             where source_id = '{ONE}' and entity = 'product' order by id limit 1"""],
        ["work_ends_once"],
    ),
    "work that ended and is owed all the same": (
        [WORK.format(token="null", until="null", must_read="true"), ENDED], ["ended_work_is_gone"],
    ),
    "a version that is missing": (
        [f"delete from tds_audit_trail where entity = 'product' and source_id = '{ONE}' and version = 2"],
        ["versions_are_whole", "applied_events_had_an_effect"],
    ),
    "an effect that happened twice": (
        [AGAIN.format(version=4, origin_id="origin_id", modified="source_modified_at", id=ONE),
         ROW.format(change="version = 4")],
        ["effects_happen_once"],
    ),
    "a record that was created twice": (
        [f"update tds_audit_trail set operation = 'created' where source_id = '{ONE}' and version = 2"],
        ["lives_make_sense"],
    ),
    "an older state after a newer one": (
        [AGAIN.format(version=4, origin_id="null", modified="source_modified_at - interval '1 second'", id=ONE),
         ROW.format(change="version = 4")],
        ["time_only_moves_on"],
    ),
    "a row ahead of its history": ([ROW.format(change="version = 4")], ["product_stands_as_told"]),
    "a row older than its history": (
        [ROW.format(change="source_modified_at = source_modified_at - interval '1 second'")],
        ["product_stands_as_told"],
    ),
    "a tombstone nobody wrote down": ([ROW.format(change="deleted_at = now()")], ["product_stands_as_told"]),
    "a row without a history": (
        [f"delete from tds_audit_trail where entity = 'invoice' and source_id = '{INVOICE}'"],
        ["applied_events_had_an_effect", "invoice_stands_as_told", "invoice_equals_its_replay",
         "invoice_lines_equal_their_replay"],
    ),
    "a history without a row": (
        [f"delete from erp.product where source_id = '{ONE}'"], ["product_stands_as_told"],
    ),
    "a field somebody changed": ([ROW.format(change="price = 99")], ["product_equals_its_replay"]),
    "a row of another organisation": (
        ["insert into tds_mirrored_organizations (source, organization_id) values ('zoho', '1')",
         ROW.format(change="source_record = source_record || '{\"organization_id\": \"2\"}'")],
        ["rows_are_of_one_organization"],
    ),
    "a line somebody changed": (
        ["update erp.invoice_line set quantity = 7 where position = 1"], ["invoice_lines_equal_their_replay"],
    ),
    "a line somebody removed": (
        ["delete from erp.invoice_line where position = 1"], ["invoice_lines_equal_their_replay"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_every_kind_of_broken_promise_is_found(lived: World, planted: str) -> None:
    statements, expected = PLANTED[planted]
    tamper(lived, *statements)
    found = broken(lived)
    assert sorted(found) == sorted(expected)
    assert all({ONE, INVOICE, "None"} & set(records) for records in found.values())


def test_every_check_has_been_seen_to_fail() -> None:
    """A check that no plant sets off could as well be absent; replays are of one make for all entities."""
    shown = {name for _, names in PLANTED.values() for name in names}
    made = {name.replace("invoice_", "product_") for name in shown}
    of_all_entities = ("_stands_as_told", "_equals_its_replay", "_equal_their_replay")
    assert {each.name for each in all_checks() if not each.name.endswith(of_all_entities)} <= shown
    assert {"product_stands_as_told", "product_equals_its_replay", "product_lines_equal_their_replay"} <= made


def test_a_history_whose_beginning_was_retired_is_honest(lived: World) -> None:
    tamper(
        lived,
        "delete from tds_audit_trail where version = 1 or entity = 'invoice'",
        """insert into tds_audit_seals (number, kind, trail, columns, first_id, last_id, row_count, ids, digests,
           key_id, previous, digest) values (1, 'retired', 'tds_audit_trail', '{}', 1, 1, 1, '{}', '', '', '', '')""",
    )
    assert set(broken(lived)) <= {"applied_events_had_an_effect"}  # whose events would be long gone as well
    tamper(lived, ROW.format(change="price = 99"))
    assert "product_equals_its_replay" in broken(lived)


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_the_command_ends_well_when_nothing_is_broken(lived: World, tds: CommandLine) -> None:
    said = tds("verify")
    assert said.exit_code == 0
    assert "0 promises broken" in said.out
    assert tds("verify", "--json").json["violation_count"] == 0


def test_the_command_names_the_record_and_where_to_look(lived: World, tds: CommandLine) -> None:
    tamper(lived, ROW.format(change="price = 99"))
    said = tds("verify")
    assert said.exit_code == 1
    assert f"tds explain product {ONE}" in said.out
    said = tds("verify", "--json")
    assert said.exit_code == 1
    [finding] = [each for each in said.json["checks"] if each["violation_count"]]
    assert finding["examples"][0]["found"] == "not what the history comes to: price"


def test_the_mirror_is_also_compared_with_a_stand_in(synced: World, standin: StandIn, tds: CommandLine) -> None:
    said = tds("verify", "--json", "--against", standin.url)
    assert said.exit_code == 1
    assert said.json["violation_count"] == 0
    assert said.json["comparison"]["difference_count"] > 0


def test_a_stand_in_that_is_away_is_said_in_one_sentence(lived: World, tds: CommandLine) -> None:
    said = tds("verify", "--against", "http://127.0.0.1:9")
    assert said.exit_code == 1
    assert "stand_in_unreachable" in said.errors
