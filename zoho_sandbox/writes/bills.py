"""Writing bills: an open bill brings its goods into stock; paying vendors is an edit, not a record of its own."""

from collections.abc import Mapping
from typing import Any

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.entities.bills import STATUSES
from zoho_sandbox.entities.document_common import money
from zoho_sandbox.record import State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.documents import DocumentWrites, check_not_overpaid
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects, line_stock, settled


def paid(world: World, state: State, amount: float, date: str) -> State:
    """The bill with one more payment to the vendor."""
    payment_id = world.new_id()
    payment = {
        "payment_id": payment_id,
        "bill_payment_id": str(int(payment_id) + 1),
        "payment_mode": "cash",
        "date": date,
        "amount": money(amount),
        "exchange_rate": 1.0,
        "is_single_bill_payment": True,
    }
    made = money(state.get("payment_made", 0.0) + amount)
    return state | {"payments": [*state.get("payments", ()), payment], "payment_made": made}


def _effects(state: State) -> Effects:
    return NO_EFFECTS if state["status"] in {"draft", "void"} else line_stock(state["lines"], "stocks", "quantity")


def _settle(world: World, state: State, payload: Mapping[str, Any]) -> State:
    """With `pay`, the amount of a payment to the vendor, the bill holds one more payment."""
    amount = state.pop("pay", None)
    if amount is not None:
        state = paid(world, state, amount, world.clock.date(world.clock.now()))
    check_not_overpaid(state)
    return state if "status" in payload else settled(state, "open")


def _check_gone(state: State) -> None:
    if state.get("payments"):
        raise RefusalError(400, 4038, "Bills with payments cannot be deleted. Delete the payments made for it first.")


BILL_WRITES = DocumentWrites(
    name="bills",
    prefix="BILL-",
    party="vendor",
    statuses=STATUSES,
    first_status="open",
    actions={f"status/{status}": {"status": status} for status in ("open", "void")},
    readers={"pay": fields.amount},
    has_due_date=True,
    settle=_settle,
    check_gone=_check_gone,
    effects=_effects,
)
