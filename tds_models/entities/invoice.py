"""Invoice: what a customer owes for goods delivered, line by line."""

from tds_models.entities.declaration import Entity, Order, Stream
from tds_models.entities.document_common import CURRENCY, TOTALS, lines
from tds_models.entities.field_modifiers import place, unlisted
from tds_models.entities.fields import at, custom, number, on, refers, text

INVOICE = Entity(
    name="invoice",
    title="Invoices",
    priority=2,
    fields=(
        text("number", "invoice_number"),
        text("reference_number"),
        refers("customer_id", to="customer"),
        text("customer_name"),
        *unlisted(refers("sales_order_id", to="sales_order", key="salesorder_id")),
        text("status"),
        on("invoiced_on", "date"),
        on("due_on", "due_date"),
        *CURRENCY,
        *unlisted(number("sub_total"), number("tax_total")),
        number("adjustment"),
        *TOTALS,
        number("shipping_charge"),
        *unlisted(number("payment_made"), number("credits_applied")),
        number("write_off_amount"),
        place(),
        refers("salesperson_id", to=None),
        text("salesperson_name"),
        *unlisted(text("notes")),
        custom(),
        at("source_created_at", "created_time"),
    ),
    lines=(lines(),),
    closed=("paid", "void"),
    stream=Stream(
        api="books",
        path="invoices",
        list_key="invoices",
        record_key="invoice",
        id_key="invoice_id",
        order=Order.OBSERVED,  # no document has it among the orders of this list
        where={"filter_by": "Status.All"},
        wrappers=("invoice",),
        rule_module="invoice",
        complete_with=(
            "invoice_id",
            "invoice_number",
            "customer_id",
            "status",
            "total",
            "line_items",
            "last_modified_time",
        ),
    ),
)
