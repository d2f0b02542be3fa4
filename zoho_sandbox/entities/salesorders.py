"""Sales orders: what customers asked for, and how far it is packed, shipped, invoiced and paid."""

from zoho_sandbox.entities.declaration import Declaration, status_filters
from zoho_sandbox.entities.document_common import SUM_KEYS, figures, line_parts, stands_on
from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import BOOKS, Record, Rendered, State

STATUSES = ("draft", "confirmed", "closed", "void")
PROGRESS = ("quantity_packed", "quantity_shipped", "quantity_invoiced")
_SHARED: Rendered = {
    "salesorder_id": "",
    "salesorder_number": "",
    "reference_number": "",
    "customer_id": "",
    "customer_name": "",
    "status": "draft",
    "status_formatted": "",
    "order_status": "draft",
    "invoiced_status": "",
    "paid_status": "",
    "shipped_status": "",
    "current_sub_status": "draft",
    "current_sub_status_id": "",
    "date": "",
    "shipment_date": "",
    "delivery_date": "",
    "delivery_method": "",
    "currency_id": "",
    "currency_code": "",
    "sub_total": 0.0,
    "total": 0.0,
    "bcy_total": 0.0,
    "balance": 0.0,
    "is_emailed": False,
    "sales_channel": "direct_sales",
    "salesperson_name": "",
    "source": "user",
    "created_time": "",
    "last_modified_time": "",
}
_UNSET = (
    *("company_name", "color_code", "delivery_method_id", "pickup_location_id", "due_by_days", "due_in_days"),
    *("shipment_days", "zcrm_potential_id", "zcrm_potential_name"),
)
_ROW = _SHARED | {
    **dict.fromkeys(_UNSET, ""),
    "is_manually_fulfilled": False,
    "email": "",
    "total_invoiced_amount": 0.0,
    "quantity": 0.0,
    **dict.fromkeys(PROGRESS, 0.0),
    "is_backorder": False,
    "is_drop_shipment": False,
    "has_attachment": False,
}
_EMPTY = (
    *("packages", "invoices", "purchaseorders", "salesreturns", "payments", "creditnotes", "picklists", "refunds"),
    *("contact_persons_associated", "documents", "approvers_list", "warehouses", "taxes", "line_items"),
)
_DETAIL = _SHARED | {
    "location_id": "",
    "location_name": "",
    **{key: [] for key in _EMPTY},
    "contact_persons": [],
    "entity_tags": "",
    "estimate_id": "",
    "total_quantity": 0.0,
    "discount_total": 0.0,
    "bcy_sub_total": 0.0,
    "bcy_tax_total": 0.0,
    "roundoff_value": 0.0,
    "has_discount": False,
    "can_send_in_mail": True,
    "attachment_name": "",
    "created_by_id": "",
    "created_by_name": "Sandbox",
    "last_modified_by_id": "",
    "currency_symbol": "$",
    "exchange_rate": 1.0,
    "price_precision": 2,
    "discount": 0.0,
    "discount_type": "item_level",
    "is_discount_before_tax": True,
    "is_inclusive_tax": False,
    "is_dropshipped": False,
    "is_backordered": False,
    "shipping_charge": 0.0,
    "adjustment": 0.0,
    "adjustment_description": "",
    "tax_total": 0.0,
    "total_formatted": "",
    "pricebook_id": "",
    "salesperson_id": "",
    "notes": "",
    "terms": "",
    "so_cycle_preference": {},
    "template_id": fixed_id(147),
    "template_name": "Standard",
    "billing_address": {},
    "shipping_address": {},
}
_LINE: Rendered = dict.fromkeys(PROGRESS, 0.0) | {
    "quantity_cancelled": 0.0,
    "quantity_returned": 0.0,
    "quantity_backordered": 0.0,
    "quantity_delivered": 0.0,
    "is_invoiced": False,
    "is_combo_product": False,
    "mapped_items": [],
}


def invoiced_status(state: State) -> str:
    """How much of the order is on invoices."""
    return _progress(state, "quantity_invoiced", ("not_invoiced", "partially_invoiced", "invoiced"))


def _progress(state: State, name: str, words: tuple[str, str, str]) -> str:
    """One of three words, by how much of the order's quantity `name` counts: none, some, all."""
    done = sum(line.get(name, 0.0) for line in state["lines"])
    wanted = sum(line["quantity"] for line in state["lines"])
    return words[0 if done <= 0 else 2 if done >= wanted else 1]


def _values(organization: Organization, record: Record) -> Rendered:
    state = record.state
    sums, lines, status = figures(organization, record), state["lines"], state["status"]
    counted = {name: sum(line.get(name, 0.0) for line in lines) for name in ("quantity", *PROGRESS)}
    invoiced = sum(line["rate"] * line.get("quantity_invoiced", 0.0) for line in lines)
    worked_out = {
        "order_status": status,
        "current_sub_status": status,
        "invoiced_status": invoiced_status(state),
        "shipped_status": _progress(state, "quantity_shipped", ("pending", "partially_shipped", "fulfilled")),
        "paid_status": "unpaid",
        "total_quantity": counted["quantity"],
        "bcy_sub_total": sums["sub_total"],
        "bcy_tax_total": sums["tax_total"],
        "has_discount": any(line.get("discount") for line in lines),
        **dict.fromkeys(("created_by_id", "last_modified_by_id"), organization.user_id),
        "total_invoiced_amount": round(invoiced, 2),
    }
    return sums | counted | worked_out


SALES_ORDERS = Declaration(
    plural="salesorders",
    singular="salesorder",
    noun="Sales Order",
    report_name="Sales Orders",
    row=_ROW,
    detail=_DETAIL,
    values=_values,
    parts=lambda organization, record: line_parts(organization, record.state, _LINE),
    sortable=(
        *("customer_name", "salesorder_number", "shipment_date", "last_modified_time", "reference_number"),
        *("total", "date", "created_time"),
    ),
    keys=SUM_KEYS,
    facets=("status", "customer_id", "salesorder_number", "reference_number"),
    worked_out_facets={"invoiced_status": lambda record: invoiced_status(record.state)},
    status_filters=status_filters(*STATUSES)
    | {
        "Status.Open": ("status", "confirmed"),
        "Status.Invoiced": ("invoiced_status", "invoiced"),
        "Status.PartiallyInvoiced": ("invoiced_status", "partially_invoiced"),
    },
    search=("salesorder_number", "reference_number", "customer_name"),
    incremental=frozenset({BOOKS}),
    rule_module="salesorder",
    name_key="salesorder_number",
    stands_on=stands_on("customer"),
)
