"""Contents of seeded documents: who buys what. A fifth of the items and partners is never picked."""

from zoho_sandbox.record import Record, State
from zoho_sandbox.seeding.backdated_records import Past

_TOUCHED = 0.8


class DocumentContents:
    """Picks partners and lines for seeded documents."""

    def __init__(self, past: Past, items: list[Record], customers: list[Record], vendors: list[Record]) -> None:
        self.past = past
        self.items = items
        self.customers = customers
        self.vendors = vendors

    def popular(self, records: list[Record]) -> Record:
        """Any of the first four fifths, the first ones more often."""
        return records[int(len(records) * _TOUCHED * self.past.rng.random() ** 2)]

    def document(self, party: str, prefix: str, number_key: str, cf: tuple[str, ...]) -> State:
        """The common beginning of a document: its number, whom it is for, what is on it."""
        rng = self.past.rng
        partner = self.popular(self.customers if party == "customer" else self.vendors)
        state: State = {
            number_key: self.past.world.new_number(prefix),
            f"{party}_id": partner.id,
            f"{party}_name": partner.state["contact_name"],
            "reference_number": f"PO-{rng.randrange(10_000)}" if rng.random() < 0.4 else "",
            "lines": self.lines("rate" if party == "customer" else "purchase_rate"),
            "cf": rng.choice(cf),
        }
        return state | ({"company_name": partner.state["company_name"]} if party == "customer" else {})

    def lines(self, rate_key: str) -> list[State]:
        """One to six lines, no item twice."""
        count = min(len(self.items), self.past.rng.randrange(1, 7))
        chosen = {item.id: item for item in (self.popular(self.items) for _ in range(count))}
        return [self._line(item, rate_key) for item in chosen.values()]

    def _line(self, item: Record, rate_key: str) -> State:
        rng, places = self.past.rng, len(self.past.world.organization.locations)
        return {
            "line_item_id": self.past.world.new_id(),
            "item_id": item.id,
            "sku": item.state["sku"],
            "name": item.state["name"],
            "rate": item.state.get(rate_key, item.state["rate"]),
            "quantity": float(rng.randrange(1, 25)),
            "discount": float(rng.choice((0, 0, 0, 5, 10))),
            "tax_percentage": item.state.get("tax_percentage", 0),
            "location": rng.randrange(places) if rng.random() < 0.3 else 0,
        }
