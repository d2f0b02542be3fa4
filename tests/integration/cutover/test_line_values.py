"""Lines of documents in an old table: a document whose lines differ is one difference, and Zoho says who is right."""

import pytest
from sqlalchemy import create_engine

from tds_core.cutover import days as cutover_days
from tds_core.cutover import promotion
from tds_core.cutover.mapping import MappingError
from tds_core.cutover.promotion import PromotionOrder
from tds_lab.migration_rehearsal.old_tables import MAPPING
from tds_models.cutover import OldDifferenceKind, Verdict
from tds_models.db import session_scope
from tests.support.database_role import superuser
from tests.support.old_sync import DAY, compare, fill_old_tables, mapping_of
from tests.support.standin import StandIn
from tests.support.world import World

BY_ID = MAPPING.replace('order_by = "line_no"', 'key = "line_id"')


@pytest.fixture
def orders(synced: World, standin: StandIn) -> World:
    """Sales orders mirrored long ago, and old tables equal to Zoho."""
    synced.run("sales_order", "full")
    fill_old_tables(synced, standin)
    synced.execute("update erp.sales_order set changed_at = now() - interval '1 day'")
    return synced


def found(world: World) -> dict[str, tuple[str, list[str], str]]:
    with session_scope(world.engine) as session:
        stored = cutover_days.stored_differences(session, "sales_order", limit=1000)
    return {each.source_id: (each.kind, list(each.fields), each.verdict) for each in stored}


def order_with_lines(world: World, count: int = 2) -> str:
    """The id of an order with at least so many lines."""
    having = "select so_id from legacy.order_lines group by 1 having count(*) >= :count order by 1 limit 1"
    return str(world.value(having, count=count))


LINES = (OldDifferenceKind.DIFFERENT, ["lines"])


def test_equal_lines_differ_in_nothing(orders: World) -> None:
    assert orders.value("select count(*) from legacy.order_lines") > 15
    assert compare(orders, "sales_order")["sales_order"].equal_count == 15


@pytest.mark.parametrize(
    "change",
    [
        "update legacy.order_lines set qty = qty + 1 where so_id = :id and line_no = 1",
        "update legacy.order_lines set item_id = null where so_id = :id and line_no = 2",
        "delete from legacy.order_lines where so_id = :id and line_no = 2",
        "delete from legacy.order_lines where so_id = :id",
        "insert into legacy.order_lines select so_id, 9, item_id, qty, unit_price from legacy.order_lines"
        " where so_id = :id and line_no = 1",
        "update legacy.order_lines set line_no = 3 - line_no where so_id = :id and line_no < 3",
    ],
)
def test_an_order_whose_old_lines_differ_is_one_difference(orders: World, change: str) -> None:
    order = order_with_lines(orders)
    orders.execute(change, id=order)
    result = compare(orders, "sales_order")["sales_order"]
    assert found(orders) == {order: (*LINES, Verdict.OLD_WRONG)}
    assert (result.different_count, result.field_counts, result.old_wrong_count) == (1, {"lines": 1}, 1)


@pytest.mark.parametrize(
    "change",
    [
        "update erp.sales_order_line set rate = rate + 1 where parent_id = :id and position = 0",
        "delete from erp.sales_order_line where parent_id = :id",
    ],
)
def test_zoho_says_that_our_lines_are_wrong(orders: World, change: str) -> None:
    order = order_with_lines(orders)
    orders.execute(change, id=order)
    result = compare(orders, "sales_order")["sales_order"]
    assert found(orders) == {order: (*LINES, Verdict.TDS_WRONG)}
    assert result.is_tds_wrong


def test_both_may_have_other_lines_than_zoho(orders: World) -> None:
    order = order_with_lines(orders)
    orders.execute("update erp.sales_order_line set rate = rate + 1 where parent_id = :id", id=order)
    orders.execute("update legacy.order_lines set unit_price = 0 where so_id = :id", id=order)
    assert compare(orders, "sales_order")["sales_order"].both_wrong_count == 1


def with_ids(world: World) -> None:
    """Give the old lines Zoho's ids, as a job does that knows them."""
    world.execute("alter table legacy.order_lines add line_id bigint, add gone_at timestamp")
    world.execute("update legacy.order_lines o set line_id = l.line_id::bigint from erp.sales_order_line l"
                  " where l.parent_id = o.so_id and l.position = o.line_no - 1")  # fmt: skip


def test_lines_with_ids_are_told_apart_by_them_in_any_order(orders: World) -> None:
    with_ids(orders)
    orders.execute("update legacy.order_lines set line_no = 10 - line_no")
    assert compare(orders, "sales_order", deep=0, mapping=mapping_of(BY_ID))["sales_order"].equal_count == 15
    order = order_with_lines(orders)
    orders.execute("update legacy.order_lines set line_id = line_id + 1 where so_id = :id", id=order)
    compare(orders, "sales_order", mapping=mapping_of(BY_ID))
    assert found(orders) == {order: (*LINES, Verdict.OLD_WRONG)}


def test_lines_marked_deleted_are_not_there(orders: World) -> None:
    with_ids(orders)
    orders.execute("insert into legacy.order_lines (so_id, line_no, gone_at) values (:id, 9, now())",
                   id=order_with_lines(orders))  # fmt: skip
    marked = MAPPING.replace('order_by = "line_no"', 'order_by = "line_no"\ndeleted = "gone_at"')
    assert compare(orders, "sales_order", deep=0, mapping=mapping_of(marked))["sales_order"].equal_count == 15
    assert compare(orders, "sales_order", deep=0)["sales_order"].field_counts == {"lines": 1}


def test_lines_may_stand_in_another_database(
    orders: World, empty_database: str, monkeypatch: pytest.MonkeyPatch, standin: StandIn
) -> None:
    elsewhere = World(create_engine(empty_database))
    fill_old_tables(elsewhere, standin)
    elsewhere.engine.dispose()
    monkeypatch.setenv("OLD_URL", empty_database)
    orders.execute("drop schema legacy cascade")
    mapping = mapping_of(MAPPING.replace('schema = "legacy"', 'schema = "legacy"\ndatabase_url_from = "OLD_URL"'))
    assert compare(orders, "sales_order", deep=0, mapping=mapping)["sales_order"].equal_count == 15


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"order_lines"', '"lines"', r"entities.sales_order.lines.table: the old database has no table legacy.lines"),
        ('parent = "so_id"', 'parent = "id"', r"lines.parent: legacy.order_lines has no column 'id'"),
        ('"line_no"', '"no"', r"lines.order_by: legacy.order_lines has no column 'no'"),
        ('rate = "unit_price"', 'rate = "unitprice"', r"lines.columns.rate: legacy.order_lines has no column"),
        (
            'product_id = "item_id"',
            'quantity_packed = "item_id"',
            r"lines.columns.quantity_packed: .* character varying",
        ),
    ],
)
def test_a_mapping_of_lines_that_does_not_fit_names_the_place(
    orders: World, before: str, after: str, said: str
) -> None:
    assert before in MAPPING
    with pytest.raises(MappingError, match=said):
        compare(orders, "sales_order", mapping=mapping_of(MAPPING.replace(before, after)))


def test_an_old_column_too_narrow_for_a_line_is_named(orders: World) -> None:
    orders.execute("delete from legacy.order_lines; alter table legacy.order_lines alter unit_price type numeric(2,1)")
    with pytest.raises(MappingError, match=r"sales_order.lines.columns.rate: .* unit_price \(numeric\(2,1\)\)"):
        compare(orders, "sales_order")


def test_lines_are_promoted_by_a_view_of_the_mapping(orders: World) -> None:
    before = orders.rows("select * from legacy.order_lines order by so_id, line_no")
    without = mapping_of(MAPPING.replace("[views.order_lines]", "[views.other_lines]"))
    order = PromotionOrder(today=DAY, days=1, by="test", force_reason="test")
    with superuser(orders.engine) as session:
        with pytest.raises(MappingError, match=r"sales_order.lines.table: .* \[views.order_lines\], a query over erp"):
            promotion.promote(session, without, order)
        promotion.promote(session, mapping_of(), order)
    assert orders.rows("select * from legacy.order_lines order by so_id, line_no") == before
