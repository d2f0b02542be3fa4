"""Sales order: what a customer ordered, and how far it is shipped, invoiced and paid."""

from tds_models.entities.declaration import Entity, Order, Stream
from tds_models.entities.document_common import LINE_TOTAL, TOTALS, document_total, lines
from tds_models.entities.field_modifiers import filtered, identifying, place, required, unlisted
from tds_models.entities.fields import Filter, at, boolean, custom, number, on, refers, text
from tds_models.findings import Severity

SALES_ORDER = Entity(
    name="sales_order",
    title="Sales orders",
    priority=2,
    fields=(
        required(filtered(text("number", "salesorder_number"), Filter.CODE), Severity.WARNING),  # a draft may have none
        text("reference_number"),
        filtered(required(refers("customer_id", to="customer")), Filter.REFERENCE),
        identifying(text("customer_name")),
        filtered(text("status")),
        text("order_status"),
        text("invoiced_status"),
        text("paid_status"),
        text("shipped_status"),
        required(on("ordered_on", "date")),
        on("shipment_on", "shipment_date"),
        text("currency_code"),
        *unlisted(number("exchange_rate")),
        number("sub_total"),
        *unlisted(number("tax_total"), number("adjustment")),
        *TOTALS,
        *unlisted(
            number("shipping_charge"),
            number("quantity", "total_quantity"),
            boolean("is_backorder", "is_backordered"),
            boolean("is_drop_shipment", "is_dropshipped"),
        ),
        text("delivery_method"),
        place(listed=False),
        text("salesperson_name"),
        *unlisted(text("notes")),
        custom(),
        at("source_created_at", "created_time"),
    ),
    lines=(
        lines(
            number("quantity_packed"),
            number("quantity_shipped"),
            number("quantity_invoiced"),
            number("quantity_cancelled"),
            number("quantity_returned"),
        ),
    ),
    line_total=LINE_TOTAL,
    document_total=document_total("adjustment", "shipping_charge"),
    closed=("closed", "void", "fulfilled"),
    stream=Stream(
        api="books",
        path="salesorders",
        list_key="salesorders",
        record_key="salesorder",
        id_key="salesorder_id",
        order=Order.DOCUMENTED,
        where={"filter_by": "Status.All"},
        wrappers=("salesorder", "sales_order"),
        rule_module="salesorder",
        complete_with=(
            "salesorder_id",
            "salesorder_number",
            "customer_id",
            "status",
            "total",
            "line_items",
            "last_modified_time",
        ),
    ),
)
