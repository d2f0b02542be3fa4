"""Rows put into the mirror by hand, as a sync would have left them, for tests that look at the mirror alone."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tds_models.entities import ENTITIES
from tests.support.world import World

#: A record of each entity that breaks no rule beside the others, by its id.
CLEAN: dict[str, dict[str, Any]] = {
    "location": {"source_id": "l1", "name": "Shop"},
    "category": {"source_id": "c1", "name": "Phones"},
    "user": {"source_id": "u1", "name": "Sara"},
    "product": {"source_id": "p1", "name": "Phone", "sku": "S-1", "price": 10, "stock_on_hand": 5, "category_id": "c1"},
    "customer": {"source_id": "k1", "name": "Ahmed"},
    "vendor": {"source_id": "v1", "name": "Noor"},
    "price_list": {"source_id": "w1", "name": "Wholesale"},
    "stock_level": {"source_id": "p1", "sku": "S-1", "stock_on_hand": 5},
    "sales_order": {"source_id": "o1", "number": "SO-1", "customer_id": "k1", "ordered_on": "2026-11-01"},
    "invoice": {"source_id": "i1", "number": "INV-1", "customer_id": "k1", "invoiced_on": "2026-11-01"},
    "customer_payment": {"source_id": "m1", "customer_id": "k1", "paid_on": "2026-11-01", "amount": 5},
    "credit_note": {"source_id": "n1", "number": "CN-1", "customer_id": "k1", "credited_on": "2026-11-01"},
    "bill": {"source_id": "b1", "number": "B-1", "vendor_id": "v1", "billed_on": "2026-11-01"},
    "stock_adjustment": {"source_id": "a1", "adjusted_on": "2026-11-01", "total": 30},
}
_SUMS = {"sub_total": 30, "tax_total": 3, "adjustment": -1, "total": 32}
for _name in ("sales_order", "invoice", "credit_note", "bill"):
    CLEAN[_name] |= _SUMS
LINES: dict[str, dict[str, list[dict[str, Any]]]] = {
    **{
        name: {"lines": [{"product_id": "p1", "line_total": 10}, {"product_id": "p1", "line_total": 20}]}
        for name in ("sales_order", "invoice", "credit_note", "bill", "stock_adjustment")
    },
    "price_list": {"prices": [{"product_id": "p1", "price": 8}]},
}


def put(
    world: World,
    entity: str,
    *,
    lines: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    record: Mapping[str, Any] | None = None,
    **values: Any,
) -> None:
    """Insert a clean row of `entity` with other `values` and `lines`, and `record` as its source's own."""
    declared = ENTITIES[entity]
    row = {
        "source": "zoho", "version": 1, "source_record": json.dumps(record or {}), "source_record_seen": "detail",
        **CLEAN[entity], **values,
    }  # fmt: skip
    seen = {"confirmed_at"} | ({"lines_confirmed_at"} if declared.header_first else set())
    given = [*row, *(name for name in seen if name not in row)]
    spelled = [f":{name}" if name in row else "now()" for name in given]
    world.execute(f"insert into erp.{entity} ({', '.join(given)}) values ({', '.join(spelled)})", **row)
    for name, rows in (LINES.get(entity, {}) if lines is None else lines).items():
        table = declared.line_tables[name].fullname
        for position, line in enumerate(rows):
            stored = {"source": "zoho", "parent_id": row["source_id"], "position": position, **line}
            marks = ", ".join(f":{key}" for key in stored)
            world.execute(f"insert into {table} ({', '.join(stored)}) values ({marks})", **stored)


def put_clean_mirror(world: World) -> None:
    """One clean record of every entity."""
    for entity in CLEAN:
        put(world, entity)
