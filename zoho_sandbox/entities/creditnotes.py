"""Credit notes: what customers get back, and the invoices it was set against."""

from zoho_sandbox.entities.declaration import Declaration, status_filters
from zoho_sandbox.entities.document_common import figures, line_parts, money, stands_on, sum_key, totals
from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import BOOKS, Record, Rendered, State

STATUSES = ("draft", "open", "closed", "void")
_SHARED: Rendered = {
    "creditnote_id": "",
    "creditnote_number": "",
    "reference_number": "",
    "customer_id": "",
    "customer_name": "",
    "status": "draft",
    "status_formatted": "",
    "date": "",
    "total": 0.0,
    "balance": 0.0,
    "exchange_rate": 1.0,
    "currency_id": "",
    "currency_code": "",
    "is_emailed": False,
    "location_id": "",
    "location_name": "",
    "created_time": "",
    "last_modified_time": "",
}
_ROW = _SHARED | {"applied_invoices": []}
_DETAIL = _SHARED | {
    "currency_symbol": "$",
    "price_precision": 2,
    "contact_persons_associated": [],
    "sub_total": 0.0,
    "tax_total": 0.0,
    "adjustment": 0.0,
    "total_formatted": "",
    "total_credits_used": 0.0,
    "total_refunded_amount": 0.0,
    "line_items": [],
    "invoices": [],
    "taxes": [],
    "notes": "",
    "terms": "",
    "template_id": fixed_id(151),
    "template_name": "Standard",
    "billing_address": {},
    "shipping_address": {},
}
_LINE: Rendered = {
    "account_id": fixed_id(35005),
    "account_name": "Sales",
    "invoice_id": "",
    "invoice_item_id": "",
    "is_returned_to_stock": False,
    "salesreturn_item_id": "",
}


def credit_left(state: State) -> float:
    """What of the credit is not yet set against an invoice; nothing once it is void."""
    if state.get("status") == "void":
        return 0.0
    return money(totals(state)["total"] - sum(applied["amount"] for applied in state.get("invoices", ())))


def _values(organization: Organization, record: Record) -> Rendered:
    applied = record.state.get("invoices", [])
    return figures(organization, record) | {
        "balance": credit_left(record.state),
        "applied_invoices": [{key: part[key] for key in ("invoice_id", "invoice_number")} for part in applied],
        "total_credits_used": money(sum(part["amount"] for part in applied)),
    }


CREDIT_NOTES = Declaration(
    plural="creditnotes",
    singular="creditnote",
    noun="Credit Note",
    report_name="Credit Notes",
    row=_ROW,
    detail=_DETAIL,
    values=_values,
    parts=lambda organization, record: line_parts(organization, record.state, _LINE),
    sortable=("customer_name", "creditnote_number", "balance", "total", "date", "created_time"),
    keys={"total": sum_key("total"), "balance": lambda record: credit_left(record.state)},
    facets=("status", "customer_id", "creditnote_number", "reference_number"),
    status_filters=status_filters(*STATUSES),
    search=("creditnote_number", "reference_number", "customer_name"),
    incremental=frozenset({BOOKS}),
    rule_module="creditnote",
    name_key="creditnote_number",
    stands_on=lambda state: {
        *stands_on("customer")(state),
        *(part["invoice_id"] for part in state.get("invoices", ())),
    },
)
