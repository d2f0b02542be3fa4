"""What must not be called equal: a list, a detail or a followed pass that shows less, or older, than it should."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison import comparisons
from tds_core.errors import NotFoundError
from tds_models.db import session_scope
from tds_tasks import schedule
from tests.support.comparing import compare, differences, finish
from tests.support.planted_faults import FAULTS, Ground
from tests.support.standin import StandIn
from tests.support.world import World, forget_context


def states(world: World, comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(row["state"], row["source_id"]) for row in differences(world, dict(comparison))]


def test_a_detail_older_than_the_list_row_clears_nothing(ground: Ground) -> None:
    """A replica behind the list answers with the state before the change, which is the mirror's."""
    collection = ground.standin.sandbox.world.collections["items"]
    record_id = ground.take("items")
    older = collection.records[record_id]
    ground.standin.edit("items", record_id, rate=77.75)
    newer = collection.records[record_id]

    def watch(path: str, _query: Mapping[str, str]) -> None:
        wanted = older if path.endswith(("itemdetails", record_id)) else newer
        if collection.records[record_id] is not wanted:
            collection.replace(collection.records[record_id], wanted)

    ground.standin.before_call = watch
    comparison = compare(ground.world, "product")
    assert (comparison["agreement"], states(ground.world, comparison)) == ("unproven", [("suspect", record_id)])
    ground.standin.before_call = lambda *_: None
    collection.replace(collection.records[record_id], newer)
    comparison = compare(ground.world, "product")
    assert (comparison["agreement"], states(ground.world, comparison)) == ("differs", [("confirmed", record_id)])


def test_what_only_the_list_shows_is_compared_with_the_list(loaded: World) -> None:
    """The details of a user show no e-mail address as lists do."""
    user = loaded.one("select source_id, email from erp.user order by source_id limit 1")
    loaded.execute("update erp.user set email = 'else@where.test' where source_id = :id", id=user["source_id"])
    comparison = compare(loaded, "user")
    assert states(loaded, comparison) == [("confirmed", user["source_id"])]
    [row] = differences(loaded, comparison)
    assert row["fields"] == {"email": ["else@where.test", user["email"]]}
    assert states(loaded, compare(loaded, "user")) == [("confirmed", user["source_id"])]


def test_a_followed_pass_has_to_have_taken_in_the_very_row(ground: Ground) -> None:
    """The pass met a newer state, and held the row for stale, since by hand it was made to look newer still."""
    world, record_id = ground.world, ground.take("items")
    compare(world, "product")
    ground.standin.edit("items", record_id, rate=77.75)
    world.execute(
        "update erp.product set source_modified_at = now() + interval '1 minute' where source_id = :id", id=record_id
    )
    world.run("product", "full")
    ground.let_settle()
    comparison = compare(world, "product", follow_seconds=3600)
    assert states(world, comparison) == [("confirmed", record_id)]


def test_a_row_whose_history_was_retired_is_read(ground: Ground) -> None:
    world, record_id = ground.world, ground.take("items")
    world.execute("alter table tds_audit_trail disable trigger user")
    world.execute("delete from tds_audit_trail where source_id = :id and entity = 'product'", id=record_id)
    world.execute(
        "insert into tds_audit_seals (number, kind, trail, columns, first_id, last_id, row_count, ids, digests,"
        " begins_at, key_id, previous, digest) values (1, 'retired', 'tds_audit_trail', '{}', 1, 1, 0, '{}', '', 1, '',"
        " '', '')"
    )
    world.execute("update erp.product set price = price + 1 where source_id = :id", id=record_id)
    world.run("product", "full")
    comparison = compare(world, "product", follow_seconds=3600)
    assert states(world, comparison) == [("confirmed", record_id)]


def test_the_doubts_of_a_pass_are_those_of_what_follows_it(loaded: World) -> None:
    run = loaded.run("product", "full")
    doubts = """update tds_sync_runs set report = '{"doubts": ["its rows still moved"]}' where id = :id"""
    loaded.execute(doubts, id=run["id"])
    compare(loaded, "product", follow_seconds=3600)
    followed = loaded.value("select follows_run_id from tds_comparison_reports")
    assert followed != run["id"]


def test_rows_without_an_id_leave_a_doubt(ground: Ground) -> None:
    record_id = ground.take("items")
    row = ground.standin.sandbox.world.collections["items"]
    ground.standin.sandbox.world.make_odd("items", record_id, row='{"name": "Nobody knows"}')
    assert row.records[record_id]
    comparison = compare(ground.world, "product")
    assert comparison["agreement"] == "unproven"
    assert "1 rows of the list have no usable id" in ground.world.value("select reason from tds_comparison_reports")
    run = ground.world.run("product", "full")
    assert run["report"] == {"doubts": ["1 rows of the list have no usable id"]}


def test_nothing_is_stated_where_a_difference_stands_beside_a_doubt(ground: Ground) -> None:
    list(FAULTS["price_changed_here"](ground))
    ground.standin.fail("listing_halved", "/books/v3/contacts", count=0)
    comparison = compare(ground.world, "product", "customer")
    assert comparison["agreement"] == "differs"
    assert ground.world.value("select count(*) from tds_statements") == 0


def test_what_has_no_time_is_looked_at_a_second_time(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_COMPARISON_SETTLE_SECONDS", "3600")
    forget_context()
    gone = list(FAULTS["bill_deleted_there"](ground))
    moved = list(FAULTS["stock_moved_between_locations_there"](ground))
    comparison = compare(ground.world, "bill", "stock_level")
    assert states(ground.world, comparison) == [("suspect", gone[0][1]), ("suspect", moved[0][1])]


def test_two_parts_that_end_at_once_end_the_comparison(loaded: World) -> None:
    with session_scope(loaded.engine) as session:
        comparison_id = comparisons.request_comparison(session, requested_by="test", entities=["product", "vendor"])
    ended = text(
        "update tds_comparison_reports set state = 'completed', agreement = 'equal', here_count = 1, there_count = 1,"
        " score = 100 where comparison_id = :id and entity = :entity"
    )
    with Session(loaded.engine) as one:
        one.execute(ended, {"id": comparison_id, "entity": "product"})
        assert comparisons.end_if_done(one, comparison_id) is None
        one.commit()
    with Session(loaded.engine) as other:
        other.execute(ended, {"id": comparison_id, "entity": "vendor"})
        assert comparisons.end_if_done(other, comparison_id) == "equal"
        other.commit()


def test_a_comparison_all_of_whose_parts_have_ended_is_ended_by_whoever_looks(loaded: World) -> None:
    with session_scope(loaded.engine) as session:
        comparisons.request_comparison(session, requested_by="test", entities=["product"])
    loaded.execute("update tds_comparison_reports set state = 'completed', agreement = 'equal'")
    schedule.JOBS["rescue"]({})
    assert loaded.value("select state from tds_comparisons") == "completed"


def test_a_part_whose_list_is_lost_reads_it_itself(loaded: World, standin: StandIn) -> None:
    with session_scope(loaded.engine) as session:
        comparison_id = comparisons.request_comparison(
            session, requested_by="test", entities=["product", "stock_level"]
        )
    loaded.execute("update tds_sync_runs set state = 'failed' where mode = 'comparison' and entity = 'product'")
    schedule.JOBS["rescue"]({})
    standin.calls.clear()
    finish(loaded, comparison_id)
    reports = loaded.rows("select entity, agreement from tds_comparison_reports order by entity")
    assert reports == [
        {"entity": "product", "agreement": "unproven"},
        {"entity": "stock_level", "agreement": "equal"},
    ]
    assert standin.calls.count("/inventory/v1/items") == 5


def test_an_entity_nobody_knows_is_refused(world: World) -> None:
    with session_scope(world.engine) as session, pytest.raises(NotFoundError, match="nothing called 'nothing'"):
        comparisons.request_comparison(session, requested_by="test", entities=["product", "nothing"])
