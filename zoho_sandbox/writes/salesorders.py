"""Writing sales orders: confirmed ones commit stock, shipped ones take it."""

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.entities.salesorders import PROGRESS, STATUSES
from zoho_sandbox.record import State
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.documents import DocumentWrites
from zoho_sandbox.writes.side_effects import Effects, line_stock


def effects(state: State) -> Effects:
    """What was shipped is gone; what a confirmed order still waits for is committed."""
    moved = line_stock(state["lines"], "stocks", "quantity_shipped", -1)
    if state["status"] == "confirmed":
        for line in state["lines"]:
            waiting = max(line["quantity"] - line.get("quantity_shipped", 0.0), 0.0)
            moved["items", line["item_id"], "committed", line.get("location", 0)] += waiting
    return moved


def _check_gone(state: State) -> None:
    if any(line.get(name) for line in state["lines"] for name in PROGRESS):
        raise RefusalError(400, 36023, "Sales orders that have been shipped or invoiced cannot be deleted.")


SALES_ORDER_WRITES = DocumentWrites(
    name="salesorders",
    prefix="SO-",
    party="customer",
    statuses=STATUSES,
    first_status="draft",
    actions={
        "status/confirmed": {"status": "confirmed"},
        "status/open": {"status": "confirmed"},
        "status/void": {"status": "void"},
    },
    readers={"shipment_date": fields.day, "delivery_date": fields.text, "delivery_method": fields.text},
    line_amounts=PROGRESS,
    check_gone=_check_gone,
    effects=effects,
)
