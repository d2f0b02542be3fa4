"""Customer payments: money that came in, and the invoices it was applied to."""

from zoho_sandbox.entities.declaration import Declaration
from zoho_sandbox.entities.document_common import money
from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import BOOKS, Record, Rendered, State, number_key

_MODES_SHOWN = ("Cash", "BankTransfer", "Check", "CreditCard")
MODES = tuple(shown.lower() for shown in _MODES_SHOWN)
_SHARED: Rendered = {
    "payment_id": "",
    "payment_number": "",
    "payment_mode": "cash",
    "date": "",
    "amount": 0.0,
    "unused_amount": 0.0,
    "tax_amount_withheld": 0.0,
    "account_id": fixed_id(35010),
    "account_name": "Undeposited Funds",
    "customer_id": "",
    "customer_name": "",
    "reference_number": "",
    "description": "",
    "location_id": "",
    "location_name": "",
    "created_time": "",
    "last_modified_time": "",
}
_ROW = _SHARED | {
    "payment_type": "Invoice Payment",
    "payment_status": "paid",
    "bcy_amount": 0.0,
    "invoice_numbers": "",
    "applied_invoices": [],
    "gateway_transaction_id": "",
    "payment_gateway": "",
}
_DETAIL = _SHARED | {
    "currency_id": "",
    "currency_code": "",
    "exchange_rate": 1.0,
    "status": "paid",
    "amount_refunded": 0.0,
    "bank_charges": 0.0,
    "currency_symbol": "$",
    "email": "",
    "tax_account_id": "",
    "tax_account_name": "",
    "invoices": [],
    "last_four_digits": "",
}


def unused(state: State) -> float:
    """What of the payment is not applied to an invoice."""
    return money(state["amount"] - sum(applied["amount_applied"] for applied in state.get("invoices", ())))


def _values(_organization: Organization, record: Record) -> Rendered:
    state, left = record.state, unused(record.state)
    applied = state.get("invoices", [])
    return {
        "payment_type": "Invoice Payment" if applied else "Customer Advance",
        "bcy_amount": state["amount"],
        "unused_amount": left,
        "bcy_unused_amount": left,
        "invoice_numbers": ",".join(part["invoice_number"] for part in applied),
        "applied_invoices": [{key: part[key] for key in ("invoice_id", "invoice_number")} for part in applied],
    }


CUSTOMER_PAYMENTS = Declaration(
    plural="customerpayments",
    singular="payment",
    noun="Payment",
    report_name="Payments Received",
    row=_ROW,
    detail=_DETAIL,
    values=_values,
    sortable=("date", "payment_number", "customer_name", "amount", "created_time"),
    keys={"amount": number_key("amount")},
    facets=("customer_id", "payment_mode", "reference_number", "date"),
    status_filters={f"PaymentMode.{shown}": ("payment_mode", shown.lower()) for shown in _MODES_SHOWN},
    search=("payment_number", "reference_number", "customer_name"),
    incremental=frozenset({BOOKS}),
    rule_module="customerpayment",
    name_key="payment_number",
    stands_on=lambda state: {state["customer_id"], *(part["invoice_id"] for part in state.get("invoices", ()))},
)
