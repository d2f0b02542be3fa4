"""Credit note: what the company owes a customer back, and the invoices it was set off against."""

from tds_models.entities.declaration import Entity, Lines, Order, Stream
from tds_models.entities.document_common import LINE_TOTAL, SUMS, TOTALS, document_total, lines
from tds_models.entities.field_modifiers import filtered, identifying, place, required, undetailed, unlisted
from tds_models.entities.fields import Filter, at, boolean, custom, number, on, refers, text
from tds_models.findings import Severity

CREDIT_NOTE = Entity(
    name="credit_note",
    title="Credit notes",
    priority=5,
    fields=(
        required(filtered(text("number", "creditnote_number"), Filter.CODE), Severity.WARNING),  # a draft may have none
        text("reference_number"),
        filtered(required(refers("customer_id", to="customer")), Filter.REFERENCE),
        identifying(text("customer_name")),
        filtered(text("status")),
        required(on("credited_on", "date")),
        text("currency_code"),
        *undetailed(
            number("exchange_rate"),
            *unlisted(*SUMS, number("credits_used", "total_credits_used"), number("refunded", "total_refunded_amount")),
        ),
        *TOTALS,
        place(),
        *unlisted(text("notes")),
        custom(),
        at("source_created_at", "created_time"),
    ),
    lines=(
        lines(refers("invoice_id", to="invoice"), boolean("is_returned_to_stock")),
        Lines(
            name="applications",
            key="invoices",
            id_key="creditnote_invoice_id",
            fields=(
                refers("invoice_id", to="invoice"),
                text("invoice_number"),
                on("applied_on", "date"),
                number("amount"),
            ),
        ),
    ),
    line_total=LINE_TOTAL,
    document_total=document_total("adjustment"),
    closed=("closed", "void"),
    stream=Stream(
        api="books",
        path="creditnotes",
        list_key="creditnotes",
        record_key="creditnote",
        id_key="creditnote_id",
        order=Order.UNKNOWN,  # no document has it among the orders of this list
        where={"filter_by": "Status.All"},
        wrappers=("creditnote", "credit_note"),
        rule_module="creditnote",
        complete_with=(
            "creditnote_id",
            "creditnote_number",
            "customer_id",
            "status",
            "total",
            "line_items",
            "invoices",
            "last_modified_time",
        ),
    ),
)
