"""How large the stand-in of a demo is: the whole company, one whose first load is short, or one for a quick look."""

from collections.abc import Mapping, Sequence

import typer

#: The stand-in's options for its size, and the entity each of them makes.
ENTITY_OF: Mapping[str, str] = {
    "products": "product",
    "customers": "customer",
    "vendors": "vendor",
    "price-lists": "price_list",
    "users": "user",
    "locations": "location",
    "orders": "sales_order",
    "invoices": "invoice",
    "payments": "customer_payment",
    "bills": "bill",
    "credit-notes": "credit_note",
    "adjustments": "stock_adjustment",
}
_COMPANY = {
    "products": 2221, "customers": 2503, "vendors": 81, "price-lists": 7, "prices": 7825, "users": 12, "locations": 3,
}  # fmt: skip
SIZES: Mapping[str, Mapping[str, int]] = {
    "small": {
        "products": 60, "customers": 30, "vendors": 5, "price-lists": 3, "prices": 60, "users": 4, "locations": 3,
        "orders": 12, "invoices": 10, "payments": 8, "bills": 6, "credit-notes": 4, "adjustments": 4,
    },
    "usual": {
        **_COMPANY,
        "orders": 300, "invoices": 400, "payments": 250, "bills": 120, "credit-notes": 60, "adjustments": 80,
    },
    "full": {
        **_COMPANY,
        "orders": 3000, "invoices": 2800, "payments": 2000, "bills": 600, "credit-notes": 150, "adjustments": 200,
    },
}  # fmt: skip


def counts_of(size: str, changes: Sequence[str]) -> dict[str, int]:
    """The counts of a size, some of them changed (`products=100000`). Raises `typer.BadParameter`."""
    if size not in SIZES:
        raise typer.BadParameter(f"no size {size!r}; there are {', '.join(SIZES)}", param_hint="--size")
    counts = dict(SIZES[size])
    for change in changes:
        name, _, count = change.partition("=")
        if name not in counts or not count.isdecimal():
            raise typer.BadParameter(
                f"{change!r} is not NAME=COUNT; names are {', '.join(counts)}", param_hint="--records"
            )
        counts[name] = int(count)
    return counts


def expected_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """How many records of each entity a stand-in of this size holds at first; stock levels are the products'."""
    found = {entity: counts[name] for name, entity in ENTITY_OF.items() if counts[name]}
    return {**found, "stock_level": counts["products"]}
