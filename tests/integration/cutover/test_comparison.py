"""Comparison with an old sync's tables: what differs, who is right about it, and what a day comes to."""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tds_api.cli.cutover import options
from tds_core.cutover import days as cutover_days
from tds_core.cutover import differences, promotion
from tds_core.cutover.mapping import MappingError
from tds_core.cutover.promotion import PromotionOrder
from tds_core.errors import AlreadyRunningError
from tds_lab.migration_rehearsal.old_tables import MAPPING
from tds_models.cutover import OldDifferenceKind, Verdict
from tds_models.db import Lock, session_scope
from tests.support.command_line import CommandLine
from tests.support.database_role import superuser
from tests.support.old_sync import DAY, compare, fill_old_tables, mapping_of, write_mapping
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def beside(synced: World, standin: StandIn) -> World:
    """Products and customers mirrored, and the old tables equal to Zoho. What changed, changed long ago."""
    for name in ("product", "customer"):
        synced.run(name, "full")
    fill_old_tables(synced, standin)
    return synced


def found(world: World, entity: str = "product") -> dict[str, tuple[str, list[str], str]]:
    """What differs by id: how, in which fields, and who is right."""
    with session_scope(world.engine) as session:
        stored = cutover_days.stored_differences(session, entity, limit=1000)
    return {each.source_id: (each.kind, list(each.fields), each.verdict) for each in stored}


def settle(world: World) -> None:
    """Let what was just changed by hand have been so for a day."""
    world.execute("update erp.product set changed_at = now() - interval '1 day'")


def old_id(world: World, number: int = 0) -> str:
    return str(world.value("select zoho_item_id from legacy.items order by 1 offset :n limit 1", n=number))


def test_equal_tables_differ_in_nothing_whatever_they_spell_their_values_like(beside: World) -> None:
    results = compare(beside, "product", "customer")
    assert found(beside) == {} == found(beside, "customer")
    product = results["product"]
    assert (product.old_count, product.here_count, product.equal_count) == (45, 45, 45)
    assert (results["customer"].old_count, results["customer"].equal_count) == (12, 12)
    assert (product.call_count, product.not_asked_count, product.is_tds_wrong) == (0, 0, False)


def test_zoho_says_that_the_old_table_is_wrong(beside: World) -> None:
    price, gone, extra = old_id(beside, 0), old_id(beside, 1), "460000000999999"
    beside.execute("update legacy.items set rate_cents = rate_cents + 1 where zoho_item_id = :id", id=price)
    beside.execute("delete from legacy.items where zoho_item_id = :id", id=gone)
    beside.execute("insert into legacy.items (zoho_item_id, item_name) values (:id, 'Ghost')", id=extra)
    settle(beside)
    result = compare(beside, "product")["product"]
    assert found(beside) == {
        price: (OldDifferenceKind.DIFFERENT, ["price"], Verdict.OLD_WRONG),
        gone: (OldDifferenceKind.MISSING_OLD, [], Verdict.OLD_WRONG),
        extra: (OldDifferenceKind.MISSING_HERE, [], Verdict.OLD_WRONG),
    }
    assert (result.old_wrong_count, result.tds_wrong_count, result.not_asked_count) == (3, 0, 0)
    assert (result.different_count, result.missing_old_count, result.missing_here_count) == (1, 1, 1)
    assert (result.field_counts, result.call_count) == ({"price": 1}, result.call_count)
    assert result.call_count >= 1


def test_zoho_says_that_tds_is_wrong(beside: World) -> None:
    price, gone = old_id(beside, 0), old_id(beside, 1)
    beside.execute("update erp.product set price = price + 1 where source_id = :id", id=price)
    beside.execute("delete from erp.product where source_id = :id", id=gone)
    settle(beside)
    result = compare(beside, "product")["product"]
    assert found(beside) == {
        price: (OldDifferenceKind.DIFFERENT, ["price"], Verdict.TDS_WRONG),
        gone: (OldDifferenceKind.MISSING_HERE, [], Verdict.TDS_WRONG),
    }
    assert (result.tds_wrong_count, result.is_tds_wrong) == (2, True)


def test_both_may_be_wrong_in_different_ways(beside: World) -> None:
    both = old_id(beside)
    beside.execute("update erp.product set price = price + 1 where source_id = :id", id=both)
    beside.execute("update legacy.items set item_name = 'Other' where zoho_item_id = :id", id=both)
    settle(beside)
    assert compare(beside, "product")["product"].both_wrong_count == 1
    assert found(beside) == {both: (OldDifferenceKind.DIFFERENT, ["name", "price"], Verdict.BOTH_WRONG)}


def test_what_changed_in_zoho_a_moment_ago_is_nobodys_fault(beside: World, standin: StandIn) -> None:
    changed = old_id(beside)
    beside.execute("update legacy.items set item_name = 'Before' where zoho_item_id = :id", id=changed)
    standin.edit("items", changed, name="Now")
    settle(beside)
    assert compare(beside, "product")["product"].changed_meanwhile_count == 1


def test_a_row_that_caught_up_while_it_was_judged_is_nobodys_fault(beside: World, standin: StandIn) -> None:
    changed = old_id(beside)
    beside.execute("update erp.product set price = price + 1 where source_id = :id", id=changed)
    settle(beside)

    def caught_up(path: str, _query: object) -> None:
        if "item" in path:
            beside.execute("update erp.product set price = price - 1, changed_at = now() where source_id = :id and"
                           " changed_at < now() - interval '1 hour'", id=changed)  # fmt: skip

    standin.before_call = caught_up
    assert compare(beside, "product")["product"].changed_meanwhile_count == 1


def test_no_more_than_asked_is_read_and_verdicts_are_remembered(beside: World, standin: StandIn) -> None:
    beside.execute("update legacy.items set rate_cents = 1")
    settle(beside)
    first = compare(beside, "product", deep=20)["product"]
    assert (first.old_wrong_count, first.not_asked_count) == (20, 25)
    second = compare(beside, "product", deep=20)["product"]
    assert (second.old_wrong_count, second.not_asked_count) == (40, 5)
    third = compare(beside, "product", deep=5)["product"]
    assert (third.old_wrong_count, third.not_asked_count) == (45, 0)
    beside.execute("update legacy.items set rate_cents = 2 where zoho_item_id = :id", id=old_id(beside))
    assert compare(beside, "product", deep=0)["product"].not_asked_count == 1


def test_what_zoho_does_not_show_now_stays_undecided(beside: World, standin: StandIn) -> None:
    beside.execute("update legacy.items set rate_cents = 1 where zoho_item_id = :id", id=old_id(beside))
    settle(beside)
    standin.fail("error_500", count=50)
    result = compare(beside, "product")["product"]
    assert (result.not_asked_count, result.old_wrong_count) == (1, 0)


def test_what_an_old_column_cannot_hold_is_no_difference(beside: World, standin: StandIn) -> None:
    item = old_id(beside)
    beside.execute(
        "update erp.product set name = rpad('long ', 120, 'x'), price = 10.123 where source_id = :id", id=item
    )
    beside.execute("update legacy.items set item_name = rpad('long ', 100, 'x'), rate_cents = 1012"
                   " where zoho_item_id = :id", id=item)  # fmt: skip
    assert compare(beside, "product", deep=0)["product"].equal_count == 45


def test_copies_of_a_record_count_and_the_newest_is_compared(beside: World) -> None:
    item = old_id(beside)
    beside.execute(
        "insert into legacy.items (zoho_item_id, item_name, zoho_modified) values (:id, 'Older', '2020-01-01')", id=item
    )
    beside.execute("insert into legacy.items (zoho_item_id, item_name) values (null, 'Nobody'), ('  ', 'Blank')")
    result = compare(beside, "product", deep=0)["product"]
    assert (result.duplicate_count, result.unkeyed_count, result.equal_count) == (1, 2, 45)


def test_rows_marked_deleted_and_rows_out_of_bounds_are_not_there(beside: World) -> None:
    beside.execute("update erp.product set status = 'inactive' where source_id = :id", id=old_id(beside))
    beside.execute("alter table legacy.items add removed text")
    beside.execute("update legacy.items set removed = 'Yes' where zoho_item_id = :id", id=old_id(beside))
    bounded = MAPPING.replace('key = "zoho_item_id"', 'key = "zoho_item_id"\ndeleted = "removed"\n'
                              'only = {status = ["active", "confirmed"]}')  # fmt: skip
    inactive = beside.value("select count(*) from erp.product where status <> 'active'")
    beside.execute("delete from legacy.items where is_active = 'N'")
    result = compare(beside, "product", deep=0, mapping=mapping_of(bounded))["product"]
    assert (result.here_count, result.old_count) == (45 - inactive, 45 - inactive)
    assert result.equal_count == 45 - inactive


def test_a_time_of_deletion_marks_a_row_deleted(beside: World) -> None:
    beside.execute("alter table legacy.items add deleted_at timestamptz")
    beside.execute("update legacy.items set deleted_at = now() where zoho_item_id = :id", id=old_id(beside))
    soft = MAPPING.replace('key = "zoho_item_id"', 'key = "zoho_item_id"\ndeleted = "deleted_at"')
    result = compare(beside, "product", deep=0, mapping=mapping_of(soft))["product"]
    assert (result.old_count, result.missing_old_count) == (44, 1)


NAMES = """
[old]
schema = 'Old "S" %'
[entities.product]
table = "It'em: %s"
key = 'Zoho "Id" %(x)s'
[entities.product.columns]
name = "Na:me"
"""


def test_names_may_hold_anything(beside: World) -> None:
    with superuser(beside.engine) as session:
        session.connection().exec_driver_sql(
            'create schema "Old ""S"" %%"; create table "Old ""S"" %%"."It\'em: %%s" as'
            ' select zoho_item_id as "Zoho ""Id"" %%(x)s", item_name as "Na:me", id as "ID" from legacy.items;'
            ' grant usage on schema "Old ""S"" %%" to public; grant select on "Old ""S"" %%"."It\'em: %%s" to public'
        )
    assert compare(beside, "product", mapping=mapping_of(NAMES))["product"].equal_count == 45
    with superuser(beside.engine) as session:
        order = PromotionOrder(today=DAY, days=1, by="test", force_reason="test")
        promotion.promote(session, mapping_of(NAMES), order)
    with beside.engine.connect() as connection:
        own = 'select count("ID") from "Old ""S"" %%"."It\'em: %%s" where "Na:me" is not null'
        assert connection.exec_driver_sql(own).scalar_one() == 45


KEY = '[old]\nschema="legacy"\n[entities.product]\ntable="k"\nkey="k"\n[entities.product.columns]\nname="n"'


def test_keys_of_any_exact_type_are_ids(beside: World) -> None:
    for column_type in ("bigint", "numeric(30,2)", "char(30)"):
        beside.execute("drop table if exists legacy.k")
        beside.execute(f"create table legacy.k as select zoho_item_id::{column_type} as k, item_name as n"
                       " from legacy.items")  # fmt: skip
        assert compare(beside, "product", deep=0, mapping=mapping_of(KEY))["product"].equal_count == 45, column_type
    beside.execute("alter table legacy.k alter k type double precision using k::double precision")
    with pytest.raises(MappingError, match=r"entities.product.key: k is double precision, which rounds Zoho's ids"):
        compare(beside, "product", mapping=mapping_of(KEY))


def test_a_key_that_can_be_no_id_is_the_old_tables_fault_and_not_asked_for(beside: World, standin: StandIn) -> None:
    beside.execute("alter table legacy.items alter zoho_item_id type text")
    for key in ("../contacts", "a/b", "x?y=1", "it's", "x" * 65, "x" * 9000):
        beside.execute("insert into legacy.items (zoho_item_id, item_name) values (:key, 'Odd')", key=key)
    result = compare(beside, "product")["product"]
    assert (result.missing_here_count, result.unkeyed_count) == (4, 2)
    assert (result.old_wrong_count, result.not_asked_count, result.call_count) == (4, 0, 0)


OTHER = '[old]\nschema="legacy"\n[entities.product]\ntable="k"\nkey="k"\n[entities.product.columns]\n{}="c"'


@pytest.mark.parametrize(
    ("field", "column_type", "said"),
    [
        ("name", "integer", r"columns.name: .*the old column c \(integer\): invalid input syntax"),
        ("price", "numeric(3,2)", r"columns.price: .*\(numeric\(3,2\)\): numeric field overflow"),
        ("price", "legacy.large", r"columns.price: .*\(legacy.large\): value for domain legacy.large violates"),
        ("status", "legacy.stage", r"columns.status: .*\(legacy.stage\): invalid input value for enum"),
    ],
)
def test_an_old_column_that_cannot_hold_a_value_is_named(
    beside: World, field: str, column_type: str, said: str
) -> None:
    beside.execute(
        "create type legacy.stage as enum ('gone'); create domain legacy.large as numeric check (value > 1e9)"
    )
    beside.execute(f"create table legacy.k (k text, c {column_type})")
    with pytest.raises(MappingError, match=said):
        compare(beside, "product", mapping=mapping_of(OTHER.format(field)))
    beside.execute("drop table legacy.k; create table legacy.k (k text, c text)")
    compare(beside, "product", deep=0, mapping=mapping_of(OTHER.format("name")))  # nothing holds the lock


def test_a_value_of_zohos_that_an_old_column_cannot_hold_is_named(beside: World) -> None:
    beside.execute("create table legacy.k as select zoho_item_id as k, 1::smallint as c from legacy.items")
    beside.execute("update erp.product set price = 2")
    beside.execute("alter table legacy.k alter c type numeric(2,1)")
    with pytest.raises(MappingError, match="a value of the source does not fit an old column: numeric field overflow"):
        compare(beside, "product", mapping=mapping_of(OTHER.format("price")))


def test_a_comparison_that_did_not_end_proves_nothing_and_shows_so(
    tds: CommandLine, beside: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(differences, "compare_page", killed)
        compare(beside, "product", deep=0)
    assert "it did not end" in tds("migrate-from", "days").out
    assert product_readiness(beside)[1][0] == "it was never compared"
    assert compare(beside, "product", deep=0)["product"].equal_count == 45


def test_pages_of_any_size_find_the_same(beside: World, monkeypatch: pytest.MonkeyPatch) -> None:
    beside.execute("update legacy.items set rate_cents = 1 where id % 3 = 0")
    beside.execute("delete from legacy.items where id % 7 = 0")
    beside.execute(
        "delete from erp.product where source_id in (select zoho_item_id from legacy.items where id % 5 = 0)"
    )
    whole = compare(beside, "product", deep=0)["product"]
    seen = found(beside)
    for size in (1, 4):
        monkeypatch.setattr(differences, "PAGE_SIZE", size)
        again = compare(beside, "product", deep=0)["product"]
        assert (again.equal_count, again.field_counts, found(beside)) == (whole.equal_count, whole.field_counts, seen)


def test_what_is_equal_again_is_no_difference_any_more(beside: World) -> None:
    beside.execute("update legacy.items set rate_cents = rate_cents + 1")
    assert compare(beside, "product", deep=0)["product"].different_count == 45
    beside.execute("update legacy.items set rate_cents = rate_cents - 1")
    compare(beside, "product", deep=0)
    assert found(beside) == {}


def test_two_comparisons_at_once_are_refused(beside: World) -> None:
    with beside.engine.connect() as other:
        other.exec_driver_sql(f"select pg_advisory_lock({int(Lock.CUTOVER)})")
        with pytest.raises(AlreadyRunningError):
            compare(beside, "product", deep=0)
        other.exec_driver_sql(f"select pg_advisory_unlock({int(Lock.CUTOVER)})")
    compare(beside, "product", deep=0)
    compare(beside, "product", deep=0)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('table = "items"', 'table = "itms"', "legacy.itms. Tables there: customers, items, order_lines, orders"),
        ('"item_name"', '"title"', "entities.product.columns.name: legacy.items has no column 'title'. Columns: id,"),
        ('key = "zoho_item_id"', 'key = "zid"', "entities.product.key: legacy.items has no column 'zid'"),
        ('"stock", as = "number"', '"stock"', 'Say how it is spelled: {column = "stock", as = "number or cents"}'),
        ('"rate_cents", as = "cents"', '"rate_cents", as = "time"', 'as = "time" does not lead from one to the other'),
        ('schema = "legacy"', 'schema = "lgcy"', "The schema lgcy holds no table at all"),
    ],
)
def test_a_mapping_that_does_not_fit_names_the_place(beside: World, before: str, after: str, said: str) -> None:
    assert before in MAPPING
    with pytest.raises(MappingError, match=re.escape(said)):
        compare(beside, "product", deep=0, mapping=mapping_of(MAPPING.replace(before, after, 1)))
    assert beside.rows("select * from tds_cutover_days") == []


def test_a_value_that_cannot_be_converted_names_its_table(beside: World) -> None:
    beside.execute("alter table legacy.items add born text")
    beside.execute("update legacy.items set born = '2026-02-31'")
    mapping = mapping_of(
        MAPPING.replace('sku = "sku"', 'source_created_at = {column = "born", as = "time"}\nsku = "sku"')
    )
    compare(beside, "product", deep=0, mapping=mapping)  # a day alone is no moment, and so no value
    beside.execute("update legacy.items set born = '2026-02-29T10:00'")
    with pytest.raises(MappingError, match=r"items.*cannot be read as the mapping says: date/time field value"):
        compare(beside, "product", deep=0, mapping=mapping)


def test_the_old_tables_may_stand_in_another_database(
    beside: World, empty_database: str, monkeypatch: pytest.MonkeyPatch, standin: StandIn
) -> None:
    mapping = mapping_of(MAPPING.replace('schema = "legacy"', 'schema = "legacy"\ndatabase_url_from = "OLD_URL"'))
    monkeypatch.delenv("OLD_URL", raising=False)
    with pytest.raises(MappingError, match="environment variable OLD_URL is not set"):
        compare(beside, "product", mapping=mapping)
    monkeypatch.setenv("OLD_URL", "postgresql://me:hidden@127.0.0.1:1/none")
    with pytest.raises(MappingError, match=r"me:\*\*\*@127.0.0.1:1/none"):
        compare(beside, "product", mapping=mapping)
    monkeypatch.setenv("OLD_URL", empty_database)
    elsewhere = World(create_engine(empty_database))
    fill_old_tables(elsewhere, standin)
    elsewhere.execute("update legacy.items set rate_cents = 1 where id = 3")
    elsewhere.engine.dispose()
    beside.execute("drop schema legacy cascade")
    result = compare(beside, "product", deep=0, mapping=mapping)["product"]
    assert (result.equal_count, result.different_count) == (44, 1)


def test_another_database_may_have_its_own_encoding_and_order_of_days(
    synced: World, empty_database: str, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    synced.run("sales_order", "full")
    orders = synced.rows("select source_id, ordered_on from erp.sales_order")
    synced.execute("update erp.sales_order set customer_name = 'Käse'")
    name = f"{empty_database.rpartition('/')[2]}_latin"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
        connection.exec_driver_sql(f"alter database {name} set datestyle = 'German, DMY'")
    url = f"{empty_database.rpartition('/')[0]}/{name}"
    old = World(create_engine(url))
    old.execute("create table public.o (k text, d date, c text)")
    for each in orders:
        old.execute("insert into public.o values (:id, :day, 'Käse')", id=each["source_id"], day=each["ordered_on"])
    old.engine.dispose()
    monkeypatch.setenv("OLD_URL", url)
    mapping = mapping_of('[old]\ndatabase_url_from = "OLD_URL"\n[entities.sales_order]\ntable = "o"\nkey = "k"\n'
                         '[entities.sales_order.columns]\nordered_on = "d"\ncustomer_name = "c"')  # fmt: skip
    try:
        result = compare(synced, deep=0, mapping=mapping)["sales_order"]
        assert (result.equal_count, result.old_count) == (len(orders), 15)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"drop database {name} with (force)")
        server.dispose()


@pytest.fixture
def tds(beside: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=240)


def test_the_command_says_what_differs_and_ends_with_1_where_tds_is_wrong(
    tds: CommandLine, beside: World, tmp_path: Path
) -> None:
    mapping = str(write_mapping(tmp_path))
    equal = tds("migrate-from", "compare", "--mapping", mapping, "--entity", "product")
    assert (equal.exit_code, "45 equal" in equal.out) == (0, True), equal.errors
    wrong = old_id(beside)
    beside.execute("update erp.product set price = price + 1 where source_id = :id", id=wrong)
    settle(beside)
    said = tds("migrate-from", "compare", "--mapping", mapping, "--entity", "product", "--json")
    [entity] = said.json["entities"]
    assert (said.exit_code, entity["tds_wrong_count"], entity["field_counts"]) == (1, 1, {"price": 1})
    listed = tds("migrate-from", "differences", "product", "--verdict", "tds_wrong", "--json")
    assert [each["source_id"] for each in listed.json] == [wrong]
    assert len(tds("migrate-from", "days", "--json").json) == 2
    assert "price" in tds("migrate-from", "days").out
    assert wrong in tds("migrate-from", "differences", "product").out


def test_the_command_names_what_is_wrong_with_a_file(tds: CommandLine, tmp_path: Path) -> None:
    said = tds("migrate-from", "compare", "--mapping", str(tmp_path / "none.toml"))
    assert (said.exit_code, "No such file" in said.errors) == (2, True)
    broken = tds("migrate-from", "compare", "--mapping", str(write_mapping(tmp_path, "[entities.prodct]\ntable=1")))
    assert (broken.exit_code, "entities" in broken.errors) == (2, True)
    unmapped = tds("migrate-from", "compare", "--mapping", str(write_mapping(tmp_path)), "--entity", "invoice")
    assert (unmapped.exit_code, "maps no invoice" in unmapped.errors) == (2, True)


def clean_days(world: World, count: int, *, entity: str = "product", wrong: int = 0, ago: int = 0) -> None:
    """Store results of days, the last of them `ago` days before DAY."""
    for number in range(count):
        world.execute(
            "insert into tds_cutover_days (day, entity, mapping_digest, requested_by, ended_at, tds_wrong_count)"
            " values (:day, :entity, :digest, 'test', now(), :wrong)",
            day=DAY - timedelta(days=ago + count - 1 - number), entity=entity, digest=mapping_of().digest, wrong=wrong,
        )  # fmt: skip


def product_readiness(world: World, days: int = 7) -> tuple[int, list[str]]:
    with session_scope(world.engine) as session:
        [product, *_] = cutover_days.readiness(session, mapping_of(), today=DAY, days=days)
    return product.clean_day_count, list(product.problems)


def test_seven_clean_days_in_a_row_are_ready(world: World) -> None:
    assert product_readiness(world) == (0, ["it was never compared", "0 of 7 days in a row without a record that TDS"
                                            " has wrong"])  # fmt: skip
    clean_days(world, 6, ago=1)
    assert product_readiness(world)[0] == 6  # yesterday was the last, today may still come
    clean_days(world, 1)
    assert product_readiness(world) == (7, [])


def test_a_day_on_which_tds_was_wrong_ends_the_row(world: World) -> None:
    clean_days(world, 7)
    clean_days(world, 1, wrong=1, ago=2)  # beside a clean comparison of the same day
    assert product_readiness(world)[0] == 2


def test_a_day_without_a_comparison_ends_the_row(world: World) -> None:
    clean_days(world, 5, ago=3)
    clean_days(world, 2)
    assert product_readiness(world)[0] == 2


def test_differences_of_which_nobody_knows_who_is_right_make_no_clean_day(world: World) -> None:
    clean_days(world, 7)
    world.execute("update tds_cutover_days set not_asked_count = 3 where day = :day", day=DAY)
    count, problems = product_readiness(world)
    assert (count, "of 3 differences it is not known" in problems[0]) == (0, True)


def test_what_ended_the_row_is_named(world: World) -> None:
    clean_days(world, 5, ago=3)
    clean_days(world, 2)
    assert product_readiness(world)[1][-1].endswith("TDS has wrong; on 2026-11-27 nothing was compared")
    clean_days(world, 1, wrong=1, ago=2)
    assert product_readiness(world)[1][-1].endswith("TDS has wrong; 2026-11-27 was not clean")


def test_a_day_is_the_installations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "datetime", _Evening)
    assert options.today() == date(2026, 11, 28)
    monkeypatch.setenv("TDS_TIME_ZONE", "Asia/Baghdad")
    assert options.today() == date(2026, 11, 29)


class _Evening(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Evening":
        return cls(2026, 11, 28, 22, 30, tzinfo=UTC).astimezone(tz)


def test_a_mapping_that_changed_is_compared_again_first(world: World) -> None:
    clean_days(world, 7)
    world.execute("update tds_cutover_days set mapping_digest = 'other'")
    assert "the mapping changed since its newest comparison" in product_readiness(world)[1]
