"""Writing invoices: a known customer, known items, and a status that follows what was paid."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, ClassVar

from zoho_sandbox.entities.invoices import STATUSES, totals
from zoho_sandbox.records import Record, State
from zoho_sandbox.refusals import RefusalError, invalid_value
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields

_READERS: dict[str, fields.Reader] = {
    "customer_id": fields.needed_text,
    "date": fields.day,
    "due_date": fields.day,
    "shipping_charge": fields.amount,
    "adjustment": fields.number,
    "payment_made": fields.amount,
    "status": fields.choice(*STATUSES),
    "payment_terms": fields.whole,
    **dict.fromkeys(
        ("invoice_number", "reference_number", "notes", "terms", "last_payment_date", "salesperson_name"), fields.text
    ),
}
_TERM_DAYS = 15


class InvoiceWrites:
    """The rules for writing invoices."""

    actions: ClassVar[Mapping[str, str]] = {"status/sent": "sent", "status/draft": "draft", "status/void": "void"}

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        if not payload.get("line_items"):
            raise invalid_value("line_items")
        if "customer_id" not in payload:
            raise invalid_value("customer_id")
        today = world.clock.date(world.clock.now())
        state: State = {"status": "draft", "date": today, "payment_made": 0.0, "lines": []}
        state |= self._read(world, payload, [])
        state.setdefault("due_date", (date.fromisoformat(state["date"]) + timedelta(days=_TERM_DAYS)).isoformat())
        state.setdefault("invoice_number", world.new_invoice_number())
        if world.name_is_taken("invoices", state["invoice_number"]):
            raise RefusalError(400, 1001, f'The invoice number "{state["invoice_number"]}" already exists.')
        return self._settled(state, payload)

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        read = self._read(world, payload, record.state["lines"])
        number = str(read.get("invoice_number", record.state["invoice_number"]))
        if number != record.state["invoice_number"] and world.name_is_taken("invoices", number):
            raise RefusalError(400, 1001, f'The invoice number "{number}" already exists.')
        return self._settled(record.state | read, payload)

    def check_deletable(self, world: World, record: Record) -> None:  # noqa: ARG002 - others ask the world
        if record.state.get("payment_made", 0.0) > 0:
            raise RefusalError(
                400, 4037, "Invoices with payments cannot be deleted. Delete the payments recorded for it first."
            )

    def _read(self, world: World, payload: Mapping[str, Any], lines: list[dict[str, Any]]) -> State:
        read = fields.read_fields(_READERS, payload)
        if "customer_id" in read:
            customer = world.find("contacts", read["customer_id"])
            if customer.state["contact_type"] != "customer":
                raise invalid_value("customer_id")
            read["customer_name"] = customer.state["contact_name"]
            read["company_name"] = customer.state.get("company_name", "")
        if "line_items" in payload:
            read["lines"] = self._lines(world, payload["line_items"], lines)
        custom = world.organization.custom_fields["invoices"].api_name
        return read | fields.read_custom(custom, payload)

    def _lines(self, world: World, written: Any, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not isinstance(written, list) or not written or not all(isinstance(line, dict) for line in written):
            raise invalid_value("line_items")
        known = {line["line_item_id"]: line for line in lines}
        return [self._line(world, line, known.get(str(line.get("line_item_id", "")))) for line in written]

    def _line(self, world: World, line: dict[str, Any], known: dict[str, Any] | None) -> dict[str, Any]:
        item_id = str(line.get("item_id") or (known or {}).get("item_id", ""))
        if known is None or known["item_id"] != item_id:
            item = world.find("items", item_id)
            known = {
                "line_item_id": known["line_item_id"] if known else world.new_id(),
                "item_id": item_id,
                "sku": item.state.get("sku", ""),
                "name": item.state["name"],
                "rate": item.state["rate"],
                "quantity": 1.0,
                "tax_percentage": item.state.get("tax_percentage", 0),
            }
        numbers = {name: fields.amount(name, line[name]) for name in ("rate", "quantity", "discount") if name in line}
        return known | numbers | {"description": fields.text("description", line.get("description", ""))}

    def _settled(self, state: State, payload: Mapping[str, Any]) -> State:
        """The status a payment leads to, unless the writer named one."""
        paid = state.get("payment_made", 0.0)
        total = totals(state)["total"]
        if paid > total + 0.005:
            raise RefusalError(400, 24016, "The amount entered is more than the balance due for the invoice.")
        if "status" in payload or paid <= 0:
            return state
        return state | {"status": "paid" if paid >= total - 0.005 else "partially_paid"}
