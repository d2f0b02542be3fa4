"""Validation: an honest organisation is valid to the last record, and each planted violation is named alone, beside a
clean neighbour.
"""

from typing import Any

import pytest

from tds_core.validation.report import INTEGRITY, MOST_NAMED, ORPHANS, SUBJECTS, ValidationReport, validate
from tds_core.validation.rules import Severities
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_models.findings import Severity
from tests.support.database_role import superuser
from tests.support.mirror_rows import CLEAN, put, put_clean_mirror
from tests.support.standin import StandIn
from tests.support.world import World

DECLARED = Severities()
Found = list[tuple[str, str, str, str | None]]


def report(world: World, subject: str, severities: Severities = DECLARED) -> ValidationReport:
    with session_scope(world.engine) as session:
        return validate(session, subject, severities)


def found(world: World, subject: str, severities: Severities = DECLARED) -> Found:
    """Severity, record, field and value of each issue."""
    issues = report(world, subject, severities).issues
    return [(each.severity, each.entity_id, each.field, each.current_value) for each in issues]


def rate(world: World, subject: str) -> tuple[int, int, int, float]:
    counts = report(world, subject).statistics
    return counts.total_records, counts.valid_records, counts.invalid_records, counts.validation_rate


@pytest.fixture
def clean(world: World) -> World:
    put_clean_mirror(world)
    return world


def test_a_clean_organisation_is_valid_to_the_last_record(synced: World, standin: StandIn) -> None:
    for entity in ENTITIES:
        synced.run(entity, "full")
    for entity in ENTITIES:
        synced.drain(entity)
    for subject in SUBJECTS:
        made = report(synced, subject)
        assert (subject, made.issues) == (subject, [])
        assert made.statistics.total_records == made.statistics.valid_records > 0
        assert made.statistics.validation_rate == 100.0
    assert report(synced, INTEGRITY).statistics.total_records == sum(
        synced.value(f"select count(*) from erp.{entity} where deleted_at is null") for entity in ENTITIES
    )


def test_the_clean_neighbours_of_these_tests_are_clean(clean: World) -> None:
    for subject in (*ENTITIES, ORPHANS):
        assert (subject, found(clean, subject)) == (subject, [])


OTHER = {"lines": {"lines": [{"product_id": "p1", "line_total": 10}]}}
PLANTED: list[tuple[str, dict[str, Any], Found]] = [
    ("product", {"name": None}, [("error", "x", "name", None)]),
    ("product", {"sku": None}, [("error", "x", "sku", None)]),
    ("customer", {"name": None}, [("error", "x", "name", None)]),
    ("invoice", {"customer_id": None}, [("error", "x", "customer_id", None)]),
    ("invoice", {"number": None}, [("warning", "x", "number", None)]),
    ("bill", {"billed_on": None}, [("error", "x", "billed_on", None)]),
    ("product", {"price": -0.01}, [("error", "x", "price", "-0.01")]),
    ("product", {"purchase_price": -1}, [("error", "x", "purchase_price", "-1")]),
    ("product", {"stock_on_hand": -2}, [("warning", "x", "stock_on_hand", "-2")]),
    ("stock_level", {"stock_on_hand": -2}, [("warning", "x", "stock_on_hand", "-2")]),
    ("customer_payment", {"amount": -5}, [("error", "x", "amount", "-5")]),
    ("price_list", {"lines": {"prices": [{"product_id": "p1", "price": -8}]}},
     [("error", "x", "prices.price", "-8")]),
    ("product", {"category_id": "gone"}, [("warning", "x", "category_id", "gone")]),
    ("sales_order", {"customer_id": "gone"}, [("warning", "x", "customer_id", "gone")]),
    ("bill", {"vendor_id": "gone"}, [("warning", "x", "vendor_id", "gone")]),
    ("invoice", {"lines": {"lines": [{"product_id": "gone", "line_total": 30}]}},
     [("warning", "x", "lines.product_id", "gone")]),
    ("price_list", {"lines": {"prices": [{"product_id": "gone", "price": 8}]}},
     [("warning", "x", "prices.product_id", "gone")]),
    ("invoice", OTHER, [("error", "x", "sub_total", "30")]),
    ("sales_order", {"lines": {"lines": []}}, [("error", "x", "sub_total", "30")]),
    ("credit_note", OTHER, [("error", "x", "sub_total", "30")]),
    ("stock_adjustment", OTHER, [("warning", "x", "total", "30")]),
    ("invoice", {"total": 33}, [("warning", "x", "total", "33")]),
    ("bill", {"total": 31.9}, [("warning", "x", "total", "31.9")]),
]  # fmt: skip


@pytest.mark.parametrize(("entity", "values", "issues"), PLANTED)
def test_each_rule_names_the_record_that_breaks_it(
    clean: World, entity: str, values: dict[str, Any], issues: Found
) -> None:
    if entity == "stock_level":
        put(clean, "product", source_id="x", sku="S-x")
    put(clean, entity, source_id="x", **({"sku": "S-x"} if entity == "product" else {}) | values)
    assert found(clean, entity) == issues
    broken = sum(severity == Severity.ERROR for severity, *_ in issues)
    assert rate(clean, entity) == (2, 2 - broken, broken, 100.0 - 50.0 * broken)


def test_a_sku_is_unique_among_living_products(clean: World) -> None:
    put(clean, "product", source_id="p2")
    put(clean, "product", source_id="p3", deleted_at="2026-11-01")
    put(clean, "product", source_id="p4", sku="S-4")
    assert found(clean, "product") == [("error", "p1", "sku", "S-1"), ("error", "p2", "sku", "S-1")]
    assert report(clean, "product").issues[0].issue == "2 records have it: p1, p2"
    clean.execute("update erp.product set deleted_at = now() where source_id = 'p2'")
    assert found(clean, "product") == []


def test_severities_are_settable_where_zoho_allows_it(clean: World) -> None:
    put(clean, "product", source_id="p2", stock_on_hand=-1)
    put(clean, "product", source_id="p3", sku=None)
    strict = Severities(negative_stock=Severity.ERROR)
    lenient = Severities(missing_sku=Severity.WARNING, duplicate_sku=Severity.WARNING)
    assert {(severity, field) for severity, _, field, _ in found(clean, "product", strict)} == {
        ("error", "sku"), ("error", "stock_on_hand"),
    }  # fmt: skip
    assert {severity for severity, *_ in found(clean, "product", lenient)} == {"warning"}
    with session_scope(clean.engine) as session:
        assert validate(session, "product", lenient).statistics.invalid_records == 0


def test_what_only_details_show_is_not_missing_before_they_were_read(clean: World) -> None:
    put(clean, "invoice", source_id="x", lines={}, lines_confirmed_at=None)
    put(clean, "product", source_id="y", sku="S-y", category_id=None, lines_confirmed_at=None)
    assert found(clean, "invoice") == found(clean, ORPHANS) == []


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_tombstones_break_no_rule(clean: World, entity: str) -> None:
    put(clean, entity, source_id="x", **dict.fromkeys(["name"] if entity == "product" else ["customer_id"]),
        deleted_at="2026-11-01")  # fmt: skip
    assert (found(clean, entity), rate(clean, entity)[0]) == ([], 1)


@pytest.mark.parametrize(("sums", "record"), [
    ({"sub_total": 30, "tax_total": 5, "adjustment": 0, "total": 30}, {"is_inclusive_tax": True}),
    ({"sub_total": 25, "tax_total": 5, "adjustment": 0, "total": 30}, {"is_inclusive_tax": True}),
    ({"sub_total": 25, "tax_total": 5, "adjustment": 0, "total": 30}, {"sub_total_inclusive_of_tax": 30}),
    ({"sub_total": 27, "tax_total": 0, "adjustment": 0, "total": 27}, {"discount_total": 3, "discount": "10%"}),
    ({"sub_total": 30, "tax_total": 0, "adjustment": 0, "total": 27}, {"discount_total": 3}),
    ({"sub_total": 30, "tax_total": 0, "adjustment": 0, "total": 27},
     {"discount": "10%", "discount_type": "entity_level"}),
    ({"sub_total": 30.01, "tax_total": 3, "adjustment": 0, "total": 33.01}, {}),
    ({"sub_total": 30.4, "tax_total": 3, "adjustment": 0, "total": 33}, {"price_precision": 0}),
    ({"sub_total": 30, "tax_total": 3, "adjustment": 0.2, "total": 33}, {"roundoff_value": "-0.20"}),
    ({"sub_total": 30, "tax_total": 3, "adjustment": 0, "total": 30}, {"is_reverse_charge_applied": True}),
    ({"sub_total": 30, "tax_total": 3, "adjustment": 0, "total": 29}, {"tax_amount_withheld": 4}),
    ({"sub_total": None, "tax_total": None, "adjustment": None, "total": 77}, {}),
])  # fmt: skip
@pytest.mark.parametrize("entity", ["invoice", "credit_note"])
def test_totals_are_right_in_each_way_that_the_record_states(
    clean: World, entity: str, sums: dict[str, Any], record: dict[str, Any]
) -> None:
    put(clean, entity, source_id="x", record=record, **sums)
    assert found(clean, entity) == []


@pytest.mark.parametrize(("sums", "record", "field"), [
    ({"sub_total": 25, "tax_total": 5, "adjustment": 0, "total": 30}, {"is_inclusive_tax": False}, "sub_total"),
    ({"sub_total": 20, "tax_total": 5, "adjustment": 0, "total": 25}, {"is_inclusive_tax": True}, "sub_total"),
    ({"sub_total": 30.02, "tax_total": 3, "adjustment": 0, "total": 33.02}, {}, "sub_total"),
    ({"sub_total": 30.01, "tax_total": 3, "adjustment": 0, "total": 33.01}, {"price_precision": 3}, "sub_total"),
    ({"sub_total": 30, "tax_total": 0, "adjustment": 0, "total": 27},
     {"discount": 0, "discount_type": "entity_level"}, "total"),
    ({"sub_total": 30, "tax_total": 3, "adjustment": 0, "total": 36}, {"roundoff_value": "x", "tds_total": 0}, "total"),
])  # fmt: skip
@pytest.mark.parametrize("entity", ["invoice", "bill"])
def test_totals_are_wrong_where_nothing_in_the_record_explains_them(
    clean: World, entity: str, sums: dict[str, Any], record: dict[str, Any], field: str
) -> None:
    put(clean, entity, source_id="x", record=record, **sums)
    assert [(record_id, name) for _, record_id, name, _ in found(clean, entity)] == [("x", field)]


def add_full_pass(world: World, entity: str, *, days_ago: int) -> None:
    world.execute(
        "insert into tds_sync_runs (source, entity, mode, state, requested_by, correlation_id, started_at, ended_at,"
        " outcomes) values ('zoho', :entity, 'full', 'completed', 'test', 'c', now() - :days * interval '1 day', now(),"
        " '{\"absent\": 0}')",
        entity=entity, days=days_ago,
    )  # fmt: skip


@pytest.mark.parametrize("entity", ["product", "price_list"])
def test_stale_is_what_nothing_has_shown_for_seven_days(clean: World, entity: str) -> None:
    old = {"sku": "S-x"} if entity == "product" else {}
    put(clean, entity, source_id="x", confirmed_at="2026-01-01", **old)
    assert [each[:3] for each in found(clean, entity)] == [("warning", "x", "confirmed_at")]
    add_full_pass(clean, entity, days_ago=6)
    assert found(clean, entity) == []
    clean.execute("update tds_sync_runs set started_at = now() - interval '8 days'")
    assert [each[1] for each in found(clean, entity)] == ["x"]


def test_what_only_a_webhook_told_of_is_stale_whatever_passes_there_were(clean: World) -> None:
    add_full_pass(clean, "customer", days_ago=0)
    put(clean, "customer", source_id="x", confirmed_at=None, changed_at="2026-01-01")
    put(clean, "customer", source_id="y", confirmed_at=None)
    assert [each[1] for each in found(clean, "customer")] == ["x"]


def add_letter(world: World, entity: str, source_id: str, *, error_class: str = "validation") -> None:
    world.execute(
        "insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,"
        " priority, correlation_id) values ('zoho', :entity, :id, :class, 'item_id: required, but empty', 'f', 1, 5,"
        " 'c')",
        entity=entity, id=source_id, **{"class": error_class},
    )  # fmt: skip


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_refused_records_count_so_that_the_rate_is_honest(clean: World, entity: str) -> None:
    add_letter(clean, entity, "refused")
    add_letter(clean, entity, "refused")
    add_letter(clean, entity, "late", error_class="transient")
    assert rate(clean, entity) == (2, 1, 1, 50.0)
    [issue] = report(clean, entity).issues
    assert (issue.severity, issue.entity_id, issue.field) == ("error", "refused", "item_id")
    letter = clean.value("select max(id) from tds_dead_letter_queue where error_class = 'validation'")
    assert issue.recommendation.endswith(f"tds dead-letter show {letter}")
    add_letter(clean, entity, CLEAN[entity]["source_id"])
    assert rate(clean, entity) == (2, 0, 2, 0.0)
    clean.execute("update tds_dead_letter_queue set resolved_at = now()")
    assert rate(clean, entity) == (1, 1, 0, 100.0)


@pytest.mark.parametrize("entity", ["product", "vendor"])
def test_a_value_that_could_not_be_read_is_an_error_of_its_record(clean: World, entity: str) -> None:
    clean.execute(
        "insert into tds_findings (kind, severity, source, entity, subject, detail) select kind, 'warning', 'zoho',"
        " :entity, kind, jsonb_build_object('source_id', cast(:id as text), 'field', 'price', 'key', 'rate', 'reason',"
        " 'expected a number', 'value', 'ten') from unnest(array['unreadable_value', 'doubted_value']) as kind",
        entity=entity, id=CLEAN[entity]["source_id"],
    )  # fmt: skip
    [issue] = report(clean, entity).issues
    assert (issue.field, issue.current_value) == ("price", "ten")
    assert "expected a number" in issue.issue
    clean.execute("update tds_findings set resolved_at = now()")
    assert found(clean, entity) == []


def test_the_worst_come_first_and_are_counted_beyond_those_named(clean: World) -> None:
    clean.execute(
        "insert into erp.product (source, source_id, name, sku, price, stock_on_hand, category_id, version,"
        " source_record, confirmed_at) select 'zoho', 'n' || n, 'x', 'N-' || n, -1, -1, 'c1', 1, '{}', now()"
        " from generate_series(1, :count) n",
        count=MOST_NAMED + 5,
    )
    made = report(clean, "product")
    assert len(made.issues) == MOST_NAMED
    assert {issue.severity for issue in made.issues} == {"error"}
    assert [(kind.severity, kind.field, kind.count) for kind in made.kinds] == [
        ("error", "price", MOST_NAMED + 5), ("warning", "stock_on_hand", MOST_NAMED + 5),
    ]  # fmt: skip
    assert (made.statistics.total_records, made.statistics.invalid_records) == (MOST_NAMED + 6, MOST_NAMED + 5)


def test_the_last_invalid_record_is_not_rounded_away(clean: World) -> None:
    clean.execute(
        "insert into erp.user (source, source_id, name, version, source_record, confirmed_at) select 'zoho', 'n' || n,"
        " nullif(n, 1), 1, '{}', now() from generate_series(1, 30000) n"
    )
    assert rate(clean, "user") == (30001, 30000, 1, 99.99)


def test_integrity_finds_what_was_changed_or_removed_by_hand(synced: World, standin: StandIn) -> None:
    for entity in ("product", "customer"):
        synced.run(entity, "full")
    [first, second, *_] = sorted(synced.mirror("product", "name"))
    [customer, *_] = sorted(synced.mirror("customer", "name"))
    synced.execute("update erp.product set price = price + 1 where source_id = :id", id=first)
    synced.execute("delete from erp.customer where source_id = :id", id=customer)
    before = report(synced, INTEGRITY).statistics
    issues = {(each.field, each.entity_id) for each in report(synced, INTEGRITY).issues if each.severity == "error"}
    assert issues == {("product.row", first), ("customer.row", customer)}
    assert before.invalid_records == 2
    assert before.total_records == sum(
        synced.value(f"select count(*) from erp.{entity} where deleted_at is null") for entity in ENTITIES
    ) + 1  # fmt: skip
    assert second not in {record for _, record in issues}
    assert {each.recommendation for each in report(synced, INTEGRITY).issues if each.severity == "error"} == {
        f"It was changed or removed here, not by TDS. Read it again: tds repair {entity}"
        for entity in ("product", "customer")
    }


def test_integrity_names_the_entity_of_each_field(clean: World) -> None:
    clean.execute("update erp.product set price = -1")
    clean.execute("update erp.stock_level set stock_on_hand = -1")
    issues = [each for each in report(clean, INTEGRITY).issues if each.field.rpartition(".")[2] != "row"]
    assert [(each.severity, each.field) for each in issues] == [
        ("error", "product.price"), ("warning", "stock_level.stock_on_hand"),
    ]  # fmt: skip


def test_orphans_are_references_lines_and_products_without_their_place(clean: World) -> None:
    put(clean, "product", source_id="bare", sku="S-2", category_id=None)
    put(clean, "product", source_id="root", sku="S-3", category_id="-1")
    put(clean, "stock_level", source_id="lost", lines={})
    put(clean, "customer", source_id="k2", deleted_at="2026-11-01")
    put(clean, "sales_order", source_id="o2", customer_id="k2")
    with superuser(clean.engine) as session:
        session.connection().exec_driver_sql("set local session_replication_role = replica")
        session.connection().exec_driver_sql("delete from erp.bill")
    assert found(clean, ORPHANS) == [
        ("error", "b1", "bill.lines", "b1"),
        ("warning", "o2", "sales_order.customer_id", "k2"),
        ("warning", "lost", "stock_level.source_id", "lost"),
        ("warning", "bare", "product.category_id", None),
        ("warning", "root", "product.category_id", "-1"),
    ]
    steps = {each.entity_id: each for each in report(clean, ORPHANS).issues}
    assert steps["o2"].issue == "leads to a deleted customer"
    assert "nowhere" not in steps["o2"].issue
    assert steps["lost"].issue.startswith("leads nowhere")
    assert steps["o2"].recommendation == "Read the record it names: tds sync customer --mode targeted --id k2"
    assert steps["lost"].recommendation == "Read the record it names: tds sync product --mode targeted --id lost"


def test_an_organisation_without_categories_has_none_to_miss(clean: World) -> None:
    clean.execute("delete from erp.category")
    clean.execute("update erp.product set category_id = null")
    assert found(clean, ORPHANS) == []
