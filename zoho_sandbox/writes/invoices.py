"""Writing invoices: the status follows what was paid and credited; what holds money stays."""

from collections.abc import Mapping
from typing import Any

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.entities.document_common import totals
from zoho_sandbox.entities.invoices import STATUSES
from zoho_sandbox.record import State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.documents import DocumentWrites, check_not_overpaid
from zoho_sandbox.writes.side_effects import settled


def _settle(_world: World, state: State, payload: Mapping[str, Any]) -> State:
    check_not_overpaid(state)
    if state["status"] == "void" and totals(state)["payment_made"] + totals(state)["credits_applied"] > 0:
        raise RefusalError(400, 4039, "Invoices with payments or credits cannot be made void.")
    return state if "status" in payload else settled(state, "sent")


INVOICE_WRITES = DocumentWrites(
    name="invoices",
    prefix="INV-",
    party="customer",
    statuses=STATUSES,
    first_status="draft",
    actions={f"status/{status}": {"status": status} for status in ("sent", "draft", "void")},
    readers={"last_payment_date": fields.text, "salesorder_id": fields.text},
    has_due_date=True,
    settle=_settle,
)
