"""Promotion: the mirror stands under the old names with the old columns, and fallback is its exact inverse."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tds_api.cli.cutover import options
from tds_core.cutover import promotion
from tds_core.cutover.mapping import CutoverMapping, MappingError
from tds_core.cutover.promotion import (
    AlreadyPromotedError,
    NotPromotedError,
    NotReadyError,
    OldTableInUseError,
    PromotionOrder,
)
from tds_core.database_urls import without_driver
from tds_core.errors import AlreadyRunningError, ConfigError
from tds_lab.migration_rehearsal.old_tables import MAPPING, TABLES
from tds_models.db import Lock, make_engine, session_scope
from tds_tasks.old_database import old_engine
from tests.support.command_line import CommandLine
from tests.support.database_role import give_roles, superuser, superuser_url, with_role
from tests.support.old_sync import DAY, compare, fill_old_tables, mapping_of, write_mapping
from tests.support.standin import StandIn
from tests.support.world import World

ENTITIES = ("product", "customer", "sales_order")


@pytest.fixture
def equal(synced: World, standin: StandIn) -> World:
    """Old tables equal to the mirror, with what programs of the ERP made of them; seven clean days."""
    for name in ENTITIES:
        synced.run(name, "full")
    fill_old_tables(synced, standin)
    synced.execute("create view legacy.v_names as select upper(sku) as sku from legacy.v_low_stock")
    synced.execute("comment on table legacy.items is 'of the shop'")
    synced.execute("grant select on legacy.items to public")
    synced.execute("update legacy.items set shelf = 'A' || id")
    synced.execute("drop index legacy.items_zoho_item_id_idx")
    for ago in range(7):
        compare(synced, day=DAY - timedelta(days=ago))
    return synced


def order(**more: Any) -> PromotionOrder:
    return PromotionOrder(**{"today": DAY, "days": 7, "by": "ann", **more})


def promote(world: World, mapping: CutoverMapping | None = None, **more: Any) -> list[str]:
    parsed = mapping or mapping_of()
    with old_engine(parsed, world.engine) as old, old.connect() as there, superuser(world.engine) as session:
        elsewhere = there if parsed.database_url_from else None
        return [each.do for each in promotion.promote(session, parsed, order(**more), elsewhere=elsewhere)]


def fall_back(world: World) -> None:
    with superuser(world.engine) as session:
        promotion.fall_back(session, by="ann", reason="test")


CATALOG = """
select c.relname, c.relkind, c.relacl::text as acl, obj_description(c.oid) as comment,
       case when c.relkind = 'v' then pg_get_viewdef(c.oid) end as definition,
       case when c.relkind = 'i' then pg_get_indexdef(c.oid) end as index,
       (select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0) as columns
from pg_class c where c.relnamespace = 'legacy'::regnamespace order by 1
"""
TYPES = """
select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) as column from pg_attribute a
where a.attrelid = to_regclass(:name) and a.attnum > 0 and not a.attisdropped order by a.attnum
"""


def content(world: World, table: str, columns: str = "*") -> list[dict[str, Any]]:
    return world.rows(f"select {columns} from legacy.{table} order by 1, 2")


def test_the_views_show_what_the_old_tables_showed_column_by_column(equal: World) -> None:
    tables = {"items": "zoho_item_id, item_name, sku, rate_cents, stock::numeric, is_active, zoho_modified, shelf, id",
              "customers": "*", "orders": "*", "order_lines": "*", "v_low_stock": "sku, item_name"}  # fmt: skip
    before = {name: (content(equal, name, columns), equal.rows(TYPES, name=f"legacy.{name}"))
              for name, columns in tables.items()}  # fmt: skip
    equal.execute("update legacy.items set stock = replace(stock, ',', '')")
    before["items"] = content(equal, "items", tables["items"]), before["items"][1]
    promote(equal)
    for name, columns in tables.items():
        assert (content(equal, name, columns), equal.rows(TYPES, name=f"legacy.{name}")) == before[name], name
    kinds = equal.rows("select relname, relkind::text from pg_class where relnamespace = 'legacy'::regnamespace and"
                       " relkind in ('r', 'v') order by 1")  # fmt: skip
    assert {(each["relname"], each["relkind"]) for each in kinds} >= {("items", "v"), ("items_before_tds", "r")}


def test_fallback_is_the_exact_inverse(equal: World) -> None:
    catalog, rows = equal.rows(CATALOG), content(equal, "items")
    promote(equal)
    assert equal.rows(CATALOG) != catalog
    fall_back(equal)
    assert equal.rows(CATALOG) == catalog
    assert content(equal, "items") == rows
    promote(equal)  # and again
    fall_back(equal)
    assert equal.rows(CATALOG) == catalog
    with pytest.raises(NotPromotedError):
        fall_back(equal)
    stored = equal.rows("select promoted_by, reason, ended_by, end_reason from tds_cutover_promotions")
    assert stored == [{"promoted_by": "ann", "reason": "", "ended_by": "ann", "end_reason": "test"}] * 2


def test_what_changes_in_zoho_shows_at_once_under_the_old_names(equal: World, standin: StandIn) -> None:
    promote(equal)
    item = str(equal.value("select zoho_item_id from legacy.items order by 1 limit 1"))
    standin.edit("items", item, name="Renamed", rate=12.34)
    fresh = standin.create("items", name="Brand new", rate=3, sku="NEW-1")
    equal.run("product", "incremental")
    [row] = equal.rows("select item_name, rate_cents, shelf from legacy.items where zoho_item_id = :id", id=item)
    assert (row["item_name"], row["rate_cents"], row["shelf"][0]) == ("Renamed", 1234, "A")
    [new] = equal.rows("select * from legacy.items where item_name = 'Brand new'")
    assert (new["rate_cents"], new["is_active"], new["shelf"], new["id"]) == (300, "Y", None, None), fresh


def test_saved_queries_of_operators_find_their_answers(equal: World) -> None:
    promote(equal)
    equal.enqueue("product", "1", "2")
    equal.execute(
        "update tds_sync_queue set lease_token = gen_random_uuid(), leased_until = now() where source_id = '1'"
    )
    with session_scope(equal.engine) as session:
        session.execute(text("set local search_path = legacy, public"))
        counts = session.execute(text("select status, count(*) from tds_sync_queue group by 1 order by 1")).all()
        names = session.execute(text("select count(*) from v_names")).scalar_one()
        queue = session.execute(text("select due_count, leased_count from tds_get_queue_stats()")).all()
    assert [tuple(each) for each in counts] == [("pending", 1), ("processing", 1)]
    assert [tuple(each) for each in queue] == [(1, 1)]
    assert names == equal.value("select count(*) from legacy.v_low_stock")


def test_a_forgotten_old_job_cannot_write_to_the_mirror(equal: World) -> None:
    promote(equal)
    for statement in ("delete from legacy.customers", "update legacy.items set item_name = 'x'",
                      "insert into legacy.orders (so_id) values ('1')"):  # fmt: skip
        with pytest.raises(DBAPIError, match=r"cannot (delete from|update|insert into) view"):
            equal.execute(statement)


def test_promotion_is_refused_until_the_days_are_clean(equal: World) -> None:
    equal.execute("delete from tds_cutover_days where day = :day and entity = 'customer'", day=DAY - timedelta(days=3))
    with pytest.raises(NotReadyError, match="customer: 3 of 7 days in a row"):
        promote(equal)
    assert promote(equal, days=3)
    fall_back(equal)
    assert promote(equal, force_reason="the old server is gone")
    with pytest.raises(AlreadyPromotedError):
        promote(equal)
    with pytest.raises(AlreadyPromotedError, match="nothing to compare it"):
        compare(equal)


def test_promotion_is_refused_while_tds_is_wrong(equal: World) -> None:
    equal.execute("update erp.product set price = price + 1, changed_at = now() - interval '1 day' where source_id ="
                  " (select min(zoho_item_id) from legacy.items)")  # fmt: skip
    compare(equal, "product")
    with pytest.raises(NotReadyError, match="product: TDS is wrong about 1 records"):
        promote(equal)
    assert equal.rows("select * from tds_cutover_promotions") == []


def test_what_is_in_the_way_is_named_and_nothing_is_changed(equal: World) -> None:
    catalog = equal.rows(CATALOG)
    equal.execute("create table legacy.items_before_tds ()")
    with pytest.raises(MappingError, match=r"legacy.items_before_tds exists already"):
        promote(equal, force_reason="test")
    equal.execute("drop table legacy.items_before_tds")
    equal.execute("create materialized view legacy.sums as select count(*) from legacy.items")
    with pytest.raises(MappingError, match=r"legacy.sums is a materialized view"):
        promote(equal, force_reason="test")
    equal.execute("drop materialized view legacy.sums")
    broken = mapping_of(MAPPING.replace("from public.tds_sync_queue", "from public.tds_no_queue"))
    with pytest.raises(ConfigError, match=r"legacy.tds_sync_queue: relation .* does not exist. Nothing was changed"):
        promote(equal, broken, force_reason="test")
    equal.execute("alter table legacy.items enable row level security")
    with pytest.raises(MappingError, match=r"legacy.items has row-level security"):
        promote(equal, force_reason="test")
    equal.execute("alter table legacy.items disable row level security")
    assert equal.rows(CATALOG) == catalog


def test_an_old_table_may_be_a_view(equal: World) -> None:
    equal.execute("create view legacy.v_items as select * from legacy.items")
    promote(equal, mapping_of(MAPPING.replace('table = "items"', 'table = "v_items"')), force_reason="test")
    assert equal.value("select count(shelf) from legacy.v_items") == 45


def test_a_comparison_and_a_promotion_never_run_at_once(equal: World) -> None:
    with equal.engine.connect() as comparison:
        comparison.exec_driver_sql(f"select pg_advisory_lock({int(Lock.CUTOVER)})")
        with pytest.raises(AlreadyRunningError, match="nothing was changed"):
            promote(equal)
        comparison.exec_driver_sql(f"select pg_advisory_unlock({int(Lock.CUTOVER)})")
    with superuser(equal.engine) as session:
        promotion.promote(session, mapping_of(), order())
        with pytest.raises(AlreadyRunningError):
            compare(equal)
        with pytest.raises(AlreadyRunningError):
            fall_back(equal)
    fall_back(equal)


def test_what_depends_on_a_view_is_named_when_it_cannot_go(equal: World) -> None:
    promote(equal)
    equal.execute("create view legacy.later as select * from legacy.orders")
    with pytest.raises(ConfigError, match=r"view legacy.later depends on view legacy.orders. Nothing was changed"):
        fall_back(equal)
    equal.execute("drop view legacy.later")
    fall_back(equal)


def test_a_table_in_use_is_not_waited_for_for_long(equal: World, database: str) -> None:
    other = psycopg2.connect(without_driver(database))
    other.cursor().execute("select * from legacy.orders")
    with pytest.raises(OldTableInUseError, match="nothing was changed"):
        promote(equal)
    other.close()
    promote(equal)


def test_old_tables_elsewhere_get_views_here(
    equal: World, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = World(equal.engine)
    catalog = fill.rows("select nspname from pg_namespace order by 1")
    names = {name: fill.rows(TYPES, name=f"legacy.{name}") for name in ("items", "customers", "orders")}
    elsewhere = MAPPING.replace('schema = "legacy"', 'schema = "legacy"\ndatabase_url_from = "OLD_URL"')
    monkeypatch.setenv("OLD_URL", empty_database)
    copy = psycopg2.connect(without_driver(empty_database))
    copy.cursor().execute(TABLES)
    copy.commit()
    copy.close()
    equal.execute("drop schema legacy cascade")
    promote(equal, mapping_of(elsewhere), force_reason="another server")
    equal.execute("grant usage on schema legacy to public; grant select on all tables in schema legacy to public")
    assert equal.value("select count(*) from legacy.items") == 45
    assert {name: equal.rows(TYPES, name=f"legacy.{name}") for name in names} == names
    fall_back(equal)
    left = [each for each in catalog if each["nspname"] != "legacy"]
    assert equal.rows("select nspname from pg_namespace order by 1") == left


def test_the_application_compares_and_may_not_promote(equal: World, database: str) -> None:
    give_roles(superuser_url(database))
    equal.execute("grant usage on schema legacy to tds_app; grant select on all tables in schema legacy to tds_app")
    equal.execute("update legacy.items set rate_cents = rate_cents + 1 where id = 1")
    app = World(make_engine(with_role(superuser_url(database)), pool_size=3))
    result = compare(app, "product", day=DAY)["product"]
    assert (result.different_count, result.equal_count) == (1, 44)
    with (
        session_scope(app.engine) as session,
        pytest.raises(ConfigError, match=r"must be owner of|permission denied") as raised,
    ):
        promotion.promote(session, mapping_of(), order(force_reason="test"))
    assert "TDS_MIGRATION_DATABASE_URL" in str(raised.value)
    app.engine.dispose()


@pytest.fixture
def tds(equal: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    for module in ("commands", "promotion"):
        monkeypatch.setattr(f"tds_api.cli.cutover.{module}.today", lambda: DAY)
    owner = superuser_url(equal.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("TDS_MIGRATION_DATABASE_URL", owner)
    assert options.today() > DAY - timedelta(days=10_000)
    return CommandLine(monkeypatch, capsys, columns=240)


def test_the_commands_promote_and_fall_back_and_say_who_and_why(tds: CommandLine, equal: World, tmp_path: Path) -> None:
    mapping = str(write_mapping(tmp_path))
    assert tds("migrate-from", "status", "--mapping", mapping, "--json").json["is_ready"] is True
    shown = tds("migrate-from", "promote", "--mapping", mapping, "--dry-run")
    assert (shown.exit_code, "alter table" in shown.out, "Nothing was changed" in shown.errors) == (0, True, True)
    refused = tds("migrate-from", "promote", "--mapping", mapping, "--days", "8")
    assert (refused.exit_code, "not_ready" in refused.errors, "7 of 8 days" in refused.errors) == (1, True, True)
    alone = tds("migrate-from", "promote", "--mapping", mapping, "--force")
    assert (alone.exit_code, "--reason" in alone.errors) == (2, True)
    forced = tds("migrate-from", "promote", "--mapping", mapping, "--days", "8", "--force", "--reason", "by the board",
                 "--json")  # fmt: skip
    assert (forced.exit_code, forced.json["promoted"]) == (0, True), forced.errors
    assert "by the board" in tds("migrate-from", "status", "--mapping", mapping).out
    back = tds("migrate-from", "fallback", "--reason", "the board again", "--json")
    assert (back.exit_code, len(back.json["undone"]) > 4) == (0, True), back.errors
    actions = equal.rows(
        "select operation, outcome, detail ->> 'reason' as reason from tds_operator_actions order by id"
    )
    assert [(each["operation"], each["outcome"], each["reason"]) for each in actions] == [
        ("cli.migrate_from.promote", "refused", ""), ("cli.migrate_from.promote", "done", "by the board"),
        ("cli.migrate_from.fallback", "done", "the board again"),
    ]  # fmt: skip
