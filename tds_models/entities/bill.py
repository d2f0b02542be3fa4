"""Bill: what the company owes a vendor for goods received, line by line."""

from tds_models.entities.declaration import Entity, Order, Stream
from tds_models.entities.document_common import CURRENCY, LINE_TOTAL, SUMS, TOTALS, document_total, lines
from tds_models.entities.field_modifiers import filtered, identifying, place, required, unlisted
from tds_models.entities.fields import Filter, at, custom, number, on, refers, text
from tds_models.findings import Severity

BILL = Entity(
    name="bill",
    title="Bills",
    priority=5,
    fields=(
        required(filtered(text("number", "bill_number"), Filter.CODE), Severity.WARNING),  # a draft may have none
        text("reference_number"),
        filtered(required(refers("vendor_id", to="vendor")), Filter.REFERENCE),
        identifying(text("vendor_name")),
        filtered(text("status")),
        required(on("billed_on", "date")),
        on("due_on", "due_date"),
        *CURRENCY,
        *unlisted(*SUMS),
        *TOTALS,
        *unlisted(number("payment_made"), number("vendor_credits_applied")),
        place(),
        *unlisted(text("notes")),
        custom(),
        at("source_created_at", "created_time"),
    ),
    lines=(lines(text("account_name")),),
    line_total=LINE_TOTAL,
    document_total=document_total("adjustment"),
    closed=("paid", "void"),
    stream=Stream(
        api="books",
        path="bills",
        list_key="bills",
        record_key="bill",
        id_key="bill_id",
        order=Order.UNKNOWN,  # no document has it among the orders of this list
        where={"filter_by": "Status.All"},
        wrappers=("bill",),
        rule_module="bill",
        complete_with=("bill_id", "bill_number", "vendor_id", "status", "total", "line_items", "last_modified_time"),
    ),
)
