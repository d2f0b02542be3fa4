"""Invoice: what a customer owes for goods delivered, line by line."""

from tds_models.entities.declaration import Entity, Order, Stream
from tds_models.entities.document_common import CURRENCY, LINE_TOTAL, TOTALS, document_total, lines
from tds_models.entities.field_modifiers import filtered, identifying, place, required, unlisted
from tds_models.entities.fields import Filter, at, custom, number, on, refers, text
from tds_models.findings import Severity

INVOICE = Entity(
    name="invoice",
    title="Invoices",
    priority=2,
    fields=(
        required(filtered(text("number", "invoice_number"), Filter.CODE), Severity.WARNING),  # a draft may have none
        text("reference_number"),
        filtered(required(refers("customer_id", to="customer")), Filter.REFERENCE),
        identifying(text("customer_name")),
        *unlisted(refers("sales_order_id", to="sales_order", key="salesorder_id")),
        filtered(text("status")),
        required(on("invoiced_on", "date")),
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
    line_total=LINE_TOTAL,
    document_total=document_total("adjustment", "shipping_charge"),
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
