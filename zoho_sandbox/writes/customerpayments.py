"""Writing customer payments: an amount, and the invoices it pays; deleting one leaves them unpaid again."""

from collections.abc import Mapping
from typing import Any, ClassVar

from zoho_sandbox.api_errors import RefusalError, invalid_value
from zoho_sandbox.entities.customerpayments import MODES, unused
from zoho_sandbox.entities.document_common import money, totals
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.documents import read_party
from zoho_sandbox.writes.payment_allocation import applied_effects, read_applied
from zoho_sandbox.writes.side_effects import Effects

_READERS: dict[str, fields.Reader] = {
    "customer_id": fields.needed_text,
    "amount": fields.amount,
    "date": fields.day,
    "payment_mode": fields.choice(*MODES),
    **dict.fromkeys(("payment_number", "reference_number", "description"), fields.text),
}


class PaymentWrites:
    """The rules for writing customer payments."""

    actions: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        for needed in ("customer_id", "amount"):
            if not payload.get(needed):
                raise invalid_value(needed)
        state: State = {"date": world.clock.date(world.clock.now()), "payment_mode": "cash", "invoices": []}
        state = self._read(world, state, payload)
        state.setdefault("payment_number", world.new_number(""))
        return state

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        return self._read(world, record.state, payload)

    def check_deletable(self, world: World, record: Record) -> None:
        """Nothing stands on a payment."""

    def effects(self, state: State) -> Effects:
        return applied_effects(state["invoices"], "payment_made", "amount_applied")

    def _read(self, world: World, before: State, payload: Mapping[str, Any]) -> State:
        state = before | fields.read_fields(_READERS, payload)
        state |= read_party(world, "customer", state["customer_id"])
        if "invoices" in payload:
            found = read_applied(world, payload["invoices"], "amount_applied", state["customer_id"], before["invoices"])
            known = {part["invoice_id"]: part for part in before["invoices"]}
            state["invoices"] = [applied(world, invoice, amount, known.get(invoice.id)) for invoice, amount in found]
        if unused(state) < -0.005:
            raise RefusalError(400, 24017, "The amount applied to the invoices is more than the payment.")
        return state | fields.read_custom(world.organization.custom_fields["customerpayments"].api_name, payload)


def applied(world: World, invoice: Record, amount: float, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One application, with what the invoice owes once it counts."""
    sums, before = totals(invoice.state), known["amount_applied"] if known else 0.0
    return {
        "invoice_payment_id": known["invoice_payment_id"] if known else world.new_id(),
        "invoice_id": invoice.id,
        "invoice_number": invoice.state["invoice_number"],
        "date": invoice.state["date"],
        "invoice_amount": sums["total"],
        "amount_applied": amount,
        "balance_amount": money(sums["balance"] + before - amount),
    }
