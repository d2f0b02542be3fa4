"""Writing credit notes: set against invoices until nothing is left; goods come back where a line says so."""

from collections.abc import Mapping
from typing import Any

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.entities.creditnotes import STATUSES, credit_left
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes.documents import DocumentWrites
from zoho_sandbox.writes.payment_allocation import applied_effects, read_applied
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects, line_stock


def applied(world: World, invoice: Record, amount: float) -> dict[str, Any]:
    """A part of the credit, set against an invoice."""
    return {
        "creditnote_invoice_id": world.new_id(),
        "invoice_id": invoice.id,
        "invoice_number": invoice.state["invoice_number"],
        "date": invoice.state["date"],
        "amount": amount,
    }


def _effects(state: State) -> Effects:
    if state["status"] in {"draft", "void"}:
        return NO_EFFECTS
    returned = [line for line in state["lines"] if line.get("is_returned_to_stock")]
    effects = line_stock(returned, "stocks", "quantity")
    effects.update(applied_effects(state.get("invoices", ()), "credits_applied", "amount"))
    return effects


def _settle(world: World, state: State, payload: Mapping[str, Any]) -> State:
    """`invoices` in a payload are further invoices the credit is set against."""
    for invoice, amount in read_applied(world, payload.get("invoices", []), "amount", state["customer_id"]):
        state = state | {"invoices": [*state.get("invoices", ()), applied(world, invoice, amount)]}
    if state["status"] == "void" and state.get("invoices"):
        raise RefusalError(400, 12014, "Credit notes applied to invoices cannot be made void.")
    if credit_left(state) < -0.005:
        raise RefusalError(400, 12015, "The amount applied is more than the credit left.")
    if state["status"] in {"open", "closed"}:
        return state | {"status": "closed" if credit_left(state) <= 0.005 else "open"}
    return state


def _check_gone(state: State) -> None:
    if state.get("invoices"):
        raise RefusalError(400, 12016, "Credit notes applied to invoices cannot be deleted.")


CREDIT_NOTE_WRITES = DocumentWrites(
    name="creditnotes",
    prefix="CN-",
    party="customer",
    statuses=STATUSES,
    first_status="open",
    actions={
        **{f"status/{status}": {"status": status} for status in ("open", "draft", "void")},
        "converttoopen": {"status": "open"},
        "void": {"status": "void"},
    },
    line_marks=("is_returned_to_stock",),
    settle=_settle,
    check_gone=_check_gone,
    effects=_effects,
)
