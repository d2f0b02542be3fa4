"""Invoice: what a customer owes for goods delivered, line by line."""

from tds_models.entity import Entity, Lines, Stream
from tds_models.fields import at, number, on, refers, text

INVOICE = Entity(
    name="invoice",
    title="Invoices",
    priority=2,
    fields=(
        text("number", "invoice_number", required=True),
        text("reference_number"),
        refers("customer_id", to="customer", required=True),
        text("customer_name"),
        text("status"),
        on("invoiced_on", "date"),
        on("due_on", "due_date"),
        text("currency_code"),
        number("exchange_rate"),
        number("sub_total"),
        number("tax_total"),
        number("shipping_charge"),
        number("adjustment"),
        number("total"),
        number("balance"),
        refers("salesperson_id", to=None),
        text("salesperson_name"),
        text("notes"),
        at("source_created_at", "created_time"),
    ),
    lines=(
        Lines(
            name="lines",
            key="line_items",
            id_key="line_item_id",
            fields=(
                refers("product_id", to="product", key="item_id"),
                text("sku"),
                text("name"),
                text("description"),
                number("quantity"),
                text("unit"),
                number("rate"),
                text("discount"),
                number("tax_percentage"),
                number("line_total", "item_total"),
            ),
        ),
    ),
    stream=Stream(
        api="books",
        path="invoices",
        list_key="invoices",
        record_key="invoice",
        id_key="invoice_id",
        where={"filter_by": "Status.All"},
        list_is_complete=False,  # Zoho lists invoices without their lines
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
