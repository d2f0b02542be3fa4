"""Faults planted between the mirror and the stand-in, each with the differences a comparison has to find for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tds_core.queue.items import database_clock
from tds_core.records.apply import apply
from tds_core.records.transform import FORCED, Provenance, RecordView, transform
from tds_models.comparison import DifferenceKind
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.contract.edits import change_unseen
from tests.support.standin import StandIn
from tests.support.world import World
from zoho_sandbox.record import Record

DIFFERENT, MISSING_HERE, MISSING_THERE = (
    DifferenceKind.DIFFERENT,
    DifferenceKind.MISSING_HERE,
    DifferenceKind.MISSING_THERE,
)

#: Entity, record and kind of a difference.
Expected = tuple[str, str, str]


@dataclass
class Ground:
    """A mirrored organisation, and which of its records no fault has been planted on yet."""

    world: World
    standin: StandIn
    taken: dict[str, int] = field(default_factory=dict)

    def take(self, plural: str, suits: Callable[[dict[str, Any]], bool] = lambda _state: True) -> str:
        """A record of its own for one fault."""
        collection = self.standin.sandbox.world.collections[plural]
        ids = sorted(record_id for record_id in collection.records if suits(collection.records[record_id].state))
        ids = [each for each in ids if f"{plural}/{each}" not in self.taken]
        self.taken[f"{plural}/{ids[0]}"] = 1
        return ids[0]

    def contact(self, kind: str) -> str:
        return self.take("contacts", lambda state: state["contact_type"] == kind)

    def plant_all(self) -> dict[Expected, str]:
        """Plant every fault. Returns by difference the fault it is of."""
        expected = {each: name for name, plant in FAULTS.items() for each in plant(self)}
        self.let_settle()
        return expected

    def let_settle(self) -> None:
        """Let nothing have happened a moment ago, when a comparison would still wait."""
        for entity in ENTITIES.values():
            self.sql(f"update {entity.table.fullname} set changed_at = changed_at - interval '1 hour'")

    def sql(self, statement: str, **given: Any) -> None:
        self.world.execute(statement, **given)


Plant = Callable[[Ground], Iterator[Expected]]
FAULTS: dict[str, Plant] = {}


def fault(plant: Plant) -> Plant:
    FAULTS[plant.__name__] = plant
    return plant


# Changes there of which no webhook tells.


def _edited(ground: Ground, plural: str, record_id: str, *entities: str, **changes: Any) -> Iterator[Expected]:
    ground.standin.edit(plural, record_id, **changes)
    for entity in entities:
        yield entity, record_id, DIFFERENT


@fault
def price_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "items", ground.take("items"), "product", rate=77.75)


@fault
def money_of_three_decimals_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "items", ground.take("items"), "product", rate=10.125)


@fault
def trailing_space_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "items", ground.take("items"), "product", description="As new ")


@fault
def arabic_name_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "items", ground.take("items"), "product", name="كابل شحن ٢٠٢٦")


@fault
def custom_field_changed_there(ground: Ground) -> Iterator[Expected]:
    name = ground.standin.sandbox.world.organization.custom_fields["items"].api_name
    yield from _edited(ground, "items", ground.take("items"), "product", **{name: "changed"})


@fault
def deactivated_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(
        ground, "items", ground.take("items", lambda state: state.get("status", "active") == "active"), "product",
        status="inactive",
    )  # fmt: skip


@fault
def stock_counted_anew_there(ground: Ground) -> Iterator[Expected]:
    held = ground.take("items", lambda state: "stocks" in state)
    yield from _edited(ground, "items", held, "product", "stock_level", stock_on_hand=4321)


@fault
def stock_moved_between_locations_there(ground: Ground) -> Iterator[Expected]:
    held = ground.take("items", lambda state: max(state.get("stocks", [0])) > 1)
    change_unseen(ground.standin, "items", held)
    yield "stock_level", held, DIFFERENT


@fault
def product_created_there(ground: Ground) -> Iterator[Expected]:
    record = ground.standin.create("items", name="Came unannounced", rate=5)
    yield "product", record.id, MISSING_HERE
    yield "stock_level", record.id, MISSING_HERE


@fault
def product_deleted_there(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("items")
    ground.standin.delete("items", record_id)
    yield "product", record_id, MISSING_THERE
    yield "stock_level", record_id, MISSING_THERE


@fault
def customer_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "contacts", ground.contact("customer"), "customer", phone="+964-1")


@fault
def customer_created_there(ground: Ground) -> Iterator[Expected]:
    record = ground.standin.create("contacts", contact_name="Came unannounced", contact_type="customer")
    yield "customer", record.id, MISSING_HERE


@fault
def customer_deleted_there(ground: Ground) -> Iterator[Expected]:
    record_id = ground.contact("customer")
    ground.standin.delete("contacts", record_id)
    yield "customer", record_id, MISSING_THERE


@fault
def vendor_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "contacts", ground.contact("vendor"), "vendor", phone="+964-2")


@fault
def order_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "salesorders", ground.take("salesorders"), "sales_order", reference_number="R-9")


@fault
def line_changed_there(ground: Ground) -> Iterator[Expected]:
    """Only a text of a line: no list row shows it but by its time."""
    record_id = ground.take("salesorders")
    state = ground.standin.sandbox.world.collections["salesorders"].records[record_id].state
    lines = [{**line, "description": "new"} for line in state["lines"]]
    yield from _edited(ground, "salesorders", record_id, "sales_order", line_items=lines)


@fault
def invoice_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "invoices", ground.take("invoices"), "invoice", notes="changed")


@fault
def invoice_number_used_again(ground: Ground) -> Iterator[Expected]:
    """Another invoice has the number of one that is gone."""
    record_id = ground.take("invoices")
    collection = ground.standin.sandbox.world.collections["invoices"]
    state, world = collection.records[record_id].state, ground.standin.sandbox.world
    ground.standin.delete("invoices", record_id)
    with world.lock:
        again = world.create("invoices", dict(state))
    yield "invoice", record_id, MISSING_THERE
    yield "invoice", again.id, MISSING_HERE


@fault
def payment_changed_there(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("customerpayments")
    yield from _edited(ground, "customerpayments", record_id, "customer_payment", description="changed")


@fault
def bill_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "bills", ground.take("bills"), "bill", reference_number="R-9")


@fault
def bill_deleted_there(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("bills")
    ground.standin.delete("bills", record_id)
    yield "bill", record_id, MISSING_THERE


@fault
def credit_note_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "creditnotes", ground.take("creditnotes"), "credit_note", reference_number="R-9")


@fault
def adjustment_changed_there(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("inventoryadjustments")
    yield from _edited(ground, "inventoryadjustments", record_id, "stock_adjustment", description="changed")


@fault
def price_of_a_list_changed_there(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("pricebooks", lambda state: bool(state.get("prices")))
    product = next(iter(ground.standin.sandbox.world.collections["pricebooks"].records[record_id].state["prices"]))
    yield from _edited(ground, "pricebooks", record_id, "price_list", prices={product: 8.5})


@fault
def category_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "categories", ground.take("categories"), "category", description="changed")


@fault
def location_renamed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "locations", ground.take("locations"), "location", location_name="Moved")


@fault
def user_changed_there(ground: Ground) -> Iterator[Expected]:
    yield from _edited(ground, "users", ground.take("users"), "user", user_role="changed")


# Changes here that TDS did not make.


def _updated(ground: Ground, entity: str, record_id: str, change: str) -> Iterator[Expected]:
    ground.sql(f"update erp.{entity} set {change} where source_id = :id", id=record_id)
    yield entity, record_id, DIFFERENT


@fault
def price_changed_here(ground: Ground) -> Iterator[Expected]:
    yield from _updated(ground, "product", ground.take("items"), "price = price + 1")


@fault
def price_rounded_here(ground: Ground) -> Iterator[Expected]:
    yield from _updated(ground, "product", ground.take("items"), "price = price + 0.001")


@fault
def trailing_space_here(ground: Ground) -> Iterator[Expected]:
    yield from _updated(ground, "product", ground.take("items"), "name = name || ' '")


@fault
def other_normal_form_here(ground: Ground) -> Iterator[Expected]:
    """The same letters to the eye: composed there, decomposed here."""
    record_id = ground.take("items")
    collection = ground.standin.sandbox.world.collections["items"]
    record = collection.records[record_id]
    # As if it had always been so: both sides have it, and then the mirror's is spelled otherwise.
    again = Record(record_id, {**record.state, "name": "Café آلة"}, record.created, record.modified)
    collection.replace(record, again)
    ground.world.enqueue("product", record_id)
    ground.world.drain("product", make_due=True)
    yield from _updated(ground, "product", record_id, "name = normalize(name, nfd)")


@fault
def value_cleared_here(ground: Ground) -> Iterator[Expected]:
    yield from _updated(ground, "customer", ground.contact("customer"), "name = null")


@fault
def own_field_changed_here(ground: Ground) -> Iterator[Expected]:
    yield from _updated(ground, "product", ground.take("items"), """custom_fields = '{"cf_grade": "other"}'""")


@fault
def unlisted_field_changed_here(ground: Ground) -> Iterator[Expected]:
    yield from _updated(ground, "product", ground.take("items"), "category_name = 'Elsewhere'")


@fault
def line_changed_here(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("invoices")
    ground.sql("update erp.invoice_line set quantity = quantity + 1 where parent_id = :id", id=record_id)
    yield "invoice", record_id, DIFFERENT


@fault
def line_deleted_here(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("salesorders")
    ground.sql("delete from erp.sales_order_line where parent_id = :id and position = 0", id=record_id)
    yield "sales_order", record_id, DIFFERENT


@fault
def row_deleted_here(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("customerpayments")
    ground.sql("delete from erp.customer_payment where source_id = :id", id=record_id)
    yield "customer_payment", record_id, MISSING_HERE


@fault
def marked_as_deleted_here(ground: Ground) -> Iterator[Expected]:
    record_id = ground.take("invoices")
    ground.sql("update erp.invoice set deleted_at = now() where source_id = :id", id=record_id)
    yield "invoice", record_id, MISSING_HERE


@fault
def row_made_up_here(ground: Ground) -> Iterator[Expected]:
    ground.sql("""
        insert into erp.customer (source, source_id, name, version, created_at)
        values ('zoho', '1783541000099999999', 'Nobody', 1, now() - interval '1 day')""")
    yield "customer", "1783541000099999999", MISSING_THERE


@fault
def names_swapped_here(ground: Ground) -> Iterator[Expected]:
    one, other = ground.take("items"), ground.take("items")
    ground.sql(
        "update erp.product p set name = o.name from erp.product o where p.source_id = any(:ids)"
        " and o.source_id = any(:ids) and o.source_id <> p.source_id",
        ids=[one, other],
    )
    yield "product", one, DIFFERENT
    yield "product", other, DIFFERENT


@fault
def time_of_change_ahead_here(ground: Ground) -> Iterator[Expected]:
    """A row that seems newer than all the source will say of it for a year, and is wrong."""
    change = "price = price + 1, source_modified_at = now() + interval '1 year'"
    yield from _updated(ground, "product", ground.take("items"), change)


# States TDS itself came to.


@fault
def older_state_applied_here(ground: Ground) -> Iterator[Expected]:
    """TDS was shown an older state by a reading, and took it in."""
    record_id = ground.take("bills")
    entity = ENTITIES["bill"]
    older = {**ground.standin.detail("bills", record_id), "reference_number": "older"}
    with session_scope(ground.world.engine) as session:
        provenance = Provenance(FORCED)
        read_at = database_clock(session)
        candidate = transform(
            entity, msgspec.json.encode(older), view=RecordView.DETAIL, provenance=provenance, read_at=read_at
        )
        [applied] = apply(session, entity, [candidate])
    assert applied.outcome == "updated"
    yield "bill", record_id, DIFFERENT


@fault
def given_up_here(ground: Ground) -> Iterator[Expected]:
    """A change that became a dead letter."""
    record_id = ground.take("creditnotes")
    ground.sql(
        "insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,"
        " priority, correlation_id) values ('zoho', 'credit_note', :id, 'invalid_record', 'broken', 'f', 8, 5, 'c')",
        id=record_id,
    )
    yield from _edited(ground, "creditnotes", record_id, "credit_note", reference_number="R-8")


@fault
def webhook_refused(ground: Ground) -> Iterator[Expected]:
    record_id = ground.contact("vendor")
    yield from _edited(ground, "contacts", record_id, "vendor", phone="+964-3")
    ground.sql(
        "insert into tds_rejected_deliveries (reason, detail, status, path, entity, source_id, headers, body_start,"
        " body_size, correlation_id, received_at) values ('signature', 'The signature is wrong.', 401, '/', 'vendor',"
        " :id, '{}', '', 0, 'c', now() + interval '1 minute')",
        id=record_id,
    )
