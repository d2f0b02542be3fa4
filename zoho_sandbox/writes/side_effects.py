"""Side effects of a write on other records: stock that moves, money that is applied; undone with the record."""

from collections import Counter, defaultdict
from typing import Any

from zoho_sandbox.entities.document_common import money, totals
from zoho_sandbox.record import State
from zoho_sandbox.world import World

# Amounts by collection, record, field and (for stock) location.
Effects = Counter[tuple[str, str, str, int]]
NO_EFFECTS: Effects = Counter()


def settled(state: State, unpaid: str) -> State:
    """The document with the status its payments and credits call for; `unpaid` is what it is without any."""
    sums = totals(state)
    if state["status"] == "void":
        return state
    if sums["payment_made"] + sums["credits_applied"] <= 0:
        return state | ({"status": unpaid} if state["status"] in {"paid", "partially_paid"} else {})
    return state | {"status": "paid" if sums["balance"] <= 0.005 else "partially_paid"}


def line_stock(lines: list[dict[str, Any]], field: str, quantity_key: str, sign: int = 1) -> Effects:
    """The effect of lines that move `quantity_key` in or out of a stock count."""
    effects: Effects = Counter()
    for line in lines:
        effects["items", line["item_id"], field, line.get("location", 0)] += sign * line.get(quantity_key, 0.0)
    return effects


def spread(world: World, before: Effects, after: Effects) -> None:
    """Make on the other records the difference between what a record did and what it does now."""
    moved: defaultdict[tuple[str, str], list[tuple[str, int, float]]] = defaultdict(list)
    for key in {*before, *after}:
        if difference := after[key] - before[key]:
            name, record_id, field, place = key
            moved[name, record_id].append((field, place, difference))
    for (name, record_id), parts in sorted(moved.items()):
        record = world.collections[name].records.get(record_id)
        if record is None:
            continue
        if name == "items":
            if "stocks" in record.state:
                world.move_stock(record, _restocked(record.state, parts))
        else:
            sums = {field: money(record.state.get(field, 0.0) + amount) for field, _place, amount in parts}
            world.update(name, record, settled(record.state | sums, "sent"))


def forget_item(world: World, item_id: str) -> None:
    """Take a deleted item off the price lists."""
    for record in list(world.collections["pricebooks"].records.values()):
        if item_id in record.state["prices"]:
            prices = {known: price for known, price in record.state["prices"].items() if known != item_id}
            world.update("pricebooks", record, record.state | {"prices": prices})


def _restocked(state: State, parts: list[tuple[str, int, float]]) -> State:
    counts = {field: list(state[field]) for field in ("stocks", "committed")}
    for field, place, amount in parts:
        counts[field][place] = round(counts[field][place] + amount, 2)
    return state | counts
