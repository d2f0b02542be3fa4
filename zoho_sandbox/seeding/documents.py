"""Seeds orders, invoices, payments, bills, credit notes and adjustments that agree with one another."""

from datetime import date, timedelta

from zoho_sandbox.entities.creditnotes import credit_left
from zoho_sandbox.entities.document_common import money, totals
from zoho_sandbox.entities.inventoryadjustments import REASONS
from zoho_sandbox.entities.salesorders import PROGRESS
from zoho_sandbox.record import Record, State
from zoho_sandbox.seeding.backdated_records import Past
from zoho_sandbox.seeding.document_contents import DocumentContents
from zoho_sandbox.settings import Settings
from zoho_sandbox.writes import bills, creditnotes, customerpayments, salesorders
from zoho_sandbox.writes.side_effects import settled


def seed_documents(past: Past, contents: DocumentContents, settings: Settings) -> None:
    """Seed what can be: documents need somebody and something."""
    world, seed = past.world, past.world.seed
    if contents.items and contents.customers:
        seed("salesorders", [_order(past, contents) for _ in range(settings.orders)])
        invoices = [_invoice(past, contents) for _ in range(settings.invoices)]
        # The payments and credits to come settle each invoice before anyone sees it.
        payments = _payments(past, contents, invoices, settings.payments)
        seed("creditnotes", [_credit_note(past, contents, invoices) for _ in range(settings.credit_notes)])
        seed("invoices", invoices)
        seed("customerpayments", payments)
    if contents.items and contents.vendors:
        seed("bills", [_bill(past, contents) for _ in range(settings.bills)])
    stocked = [item for item in contents.items if "stocks" in item.state]
    if stocked:
        places = len(world.organization.locations)
        count = settings.adjustments
        seed("inventoryadjustments", [_adjustment(past, contents, stocked, places) for _ in range(count)])


def _dated(past: Past, state: State, due: str = "") -> Record:
    record = past.record(state)
    day = date.fromisoformat(past.world.clock.date(record.created))
    state["date"] = day.isoformat()
    if due:
        state[due] = (day + timedelta(days=15)).isoformat()
    return record


def _order(past: Past, contents: DocumentContents) -> Record:
    state = contents.document("customer", "SO-", "salesorder_number", ("web", "desk", ""))
    luck = past.rng.random()
    state["status"] = "closed" if luck < 0.8 else "void" if luck < 0.84 else "draft"
    if state["status"] == "closed":
        for line in state["lines"]:
            line.update(dict.fromkeys(PROGRESS, line["quantity"]))
    elif luck < 0.96:
        _confirm(past, state)
    return _dated(past, state, "shipment_date")


def _confirm(past: Past, state: State) -> None:
    """Confirm a draft if all it commits is there."""
    items = past.world.collections["items"].records
    confirmed = state | {"status": "confirmed"}
    wanted = [
        (items[item_id].state, place, count) for (_, item_id, _, place), count in salesorders.effects(confirmed).items()
    ]
    wanted = [(item, place, count) for item, place, count in wanted if "stocks" in item]
    if all(item["stocks"][place] - item["committed"][place] >= count for item, place, count in wanted):
        state["status"] = "confirmed"
        for item, place, count in wanted:
            item["committed"][place] += count


def _invoice(past: Past, contents: DocumentContents) -> Record:
    state = contents.document("customer", "INV-", "invoice_number", ("web", "desk", ""))
    luck = past.rng.random()
    state["shipping_charge"] = float(past.rng.choice((0, 0, 0, 10, 25)))
    state["status"] = "sent" if luck < 0.9 else "void" if luck < 0.95 else "draft"
    state["is_emailed"] = state["status"] == "sent"
    record = _dated(past, state, "due_date")
    if state["status"] == "sent" and state["due_date"] < past.today:
        state["status"] = "overdue"
    return record


def _payments(past: Past, contents: DocumentContents, invoices: list[Record], count: int) -> list[Record]:
    """Payments of open invoices, mostly in full; once none is open, advances."""
    unpaid = [invoice for invoice in invoices if invoice.state["status"] in {"sent", "overdue"}]
    past.rng.shuffle(unpaid)
    return [_payment(past, contents, unpaid) for _ in range(count)]


def _payment(past: Past, contents: DocumentContents, unpaid: list[Record]) -> Record:
    rng, world = past.rng, past.world
    invoice = unpaid.pop() if unpaid else None
    customer_id = invoice.state["customer_id"] if invoice else contents.popular(contents.customers).id
    state: State = {
        "payment_number": world.new_number(""),
        "customer_id": customer_id,
        "customer_name": world.find("contacts", customer_id).state["contact_name"],
        "payment_mode": rng.choice(("cash", "cash", "banktransfer", "check")),
        "reference_number": f"R-{rng.randrange(10**5)}" if rng.random() < 0.3 else "",
        "invoices": [],
        "cf": rng.choice(("Ahmed", "Sara", "")),
    }
    record = _dated(past, state)
    if invoice is None:
        state["amount"] = float(rng.randrange(10, 500))
        return record
    balance = totals(invoice.state)["balance"]
    amount = balance if rng.random() < 0.8 else money(balance * 0.4)
    state["amount"] = amount
    state["invoices"] = [customerpayments.applied(world, invoice, amount)]
    money_in = {"payment_made": amount, "last_payment_date": state["date"]}
    invoice.state = settled(invoice.state | money_in, "sent")
    return record


def _credit_note(past: Past, contents: DocumentContents, invoices: list[Record]) -> Record:
    rng = past.rng
    state = contents.document("customer", "CN-", "creditnote_number", ("damaged", "returned", ""))
    state |= {"status": "draft" if rng.random() < 0.1 else "open", "invoices": []}
    for line in state["lines"]:
        line["is_returned_to_stock"] = rng.random() < 0.5
    record = _dated(past, state)
    invoice = rng.choice(invoices) if invoices else None
    if state["status"] == "open" and invoice is not None and invoice.state["status"] in {"sent", "overdue"}:
        # A credit belongs to the customer of the invoice it is set against.
        state |= {key: invoice.state[key] for key in ("customer_id", "customer_name", "company_name")}
        amount = min(credit_left(state), totals(invoice.state)["balance"])
        state["invoices"] = [creditnotes.applied(past.world, invoice, amount)]
        invoice.state = settled(invoice.state | {"credits_applied": amount}, "sent")
        state["status"] = "closed" if credit_left(state) <= 0 else "open"
    return record


def _bill(past: Past, contents: DocumentContents) -> Record:
    state = contents.document("vendor", "BILL-", "bill_number", ("MSKU-1", "MSKU-2", ""))
    luck = past.rng.random()
    state["status"] = "open" if luck < 0.92 else "void" if luck < 0.96 else "draft"
    record = _dated(past, state, "due_date")
    if luck < 0.7:
        total = totals(state)["total"]
        record.state = settled(
            bills.paid(past.world, state, total if luck < 0.6 else total / 2, state["due_date"]), "open"
        )
    elif state["status"] == "open" and state["due_date"] < past.today:
        state["status"] = "overdue"
    return record


def _adjustment(past: Past, contents: DocumentContents, stocked: list[Record], places: int) -> Record:
    rng = past.rng
    chosen = {item.id: item for item in (contents.popular(stocked) for _ in range(rng.randrange(1, 4)))}
    lines = [
        {
            "line_item_id": past.world.new_id(),
            "item_id": item.id,
            "sku": item.state["sku"],
            "name": item.state["name"],
            "rate": item.state["purchase_rate"],
            "quantity_adjusted": float(rng.choice((-3, -2, -1, 1, 2, 5))),
        }
        for item in chosen.values()
    ]
    state: State = {
        "reason": rng.choice(REASONS[:3]),
        "reference_number": f"ADJ-{rng.randrange(10**5)}",
        "adjustment_type": "quantity",
        "status": "adjusted",
        "location": rng.randrange(places),
        "lines": lines,
        "cf": rng.choice(("Noor", "Dina", "")),
    }
    return _dated(past, state)
