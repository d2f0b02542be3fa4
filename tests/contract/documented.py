"""Which keys the descriptions of Zoho's API list for each door of a record: distilled into `documented.json`.

    ZOHO_DESCRIPTIONS=<folder> python -m tests.contract.documented

The folder holds `openapi-books-v3/`, `openapi-inventory-v1/` (Zoho's OpenAPI files, one a module) and `wire-schemas/`
(JSON schemas of records as others recorded them). Only names of keys are kept: by path, door, and part of the record
("": its header, else the key of its lines).
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

Parts = dict[str, set[str]]
TABLE = Path(__file__).parent / "documented.json"
FOLDERS = {"books": "openapi-books-v3", "inventory": "openapi-inventory-v1"}
#: The JSON schemas, by the path and door they are of.
WIRE = {
    ("items", "list"): ("items_schema",),
    ("items", "detail"): ("items_indv_schema", "product_details_indv_schema"),
    ("contacts", "list"): ("contacts_schema",),
    ("contacts", "detail"): ("contacts_indv_schema",),
    ("salesorders", "list"): ("salesorders_schema",),
    ("salesorders", "detail"): ("salesorders_indv_schema", "salesorders_details_indv_schema"),
}
#: Keys the wire shows according to readers of the real service, where the descriptions leave them out.
SEEN = {
    ("items", "list", ""): "stock_on_hand available_stock actual_available_stock reorder_level brand manufacturer unit",
    ("items", "detail", ""): "committed_stock actual_committed_stock available_for_sale_stock warehouses"
    " actual_available_for_sale_stock",
    ("contacts", "list", ""): "customer_name outstanding_receivable_amount_bcy unused_credits_receivable_amount_bcy",
    ("contacts", "detail", ""): "customer_name vendor_name",
    ("salesorders", "detail", ""): "warehouses delivery_date",
    ("salesorders", "detail", "line_items"): "line_item_id item_id sku name description item_order rate bcy_rate"
    " quantity quantity_packed quantity_shipped quantity_invoiced quantity_cancelled quantity_returned"
    " quantity_backordered quantity_delivered unit tax_id tax_name tax_type tax_percentage discount discount_amount"
    " item_total location_id location_name is_combo_product mapped_items item_custom_fields tags",
    ("invoices", "list", ""): "type billing_address shipping_address invoice_url updated_time custom_fields"
    " exchange_rate shipping_charge adjustment write_off_amount",
    ("invoices", "detail", ""): "salesorder_id salesorders type",
    ("invoices", "detail", "line_items"): "sku salesorder_item_id serial_numbers batches item_custom_fields",
    ("bills", "list", ""): "exchange_rate price_precision tds_total due_days has_attachment",
    ("bills", "detail", "line_items"): "discount discount_amount",
    ("creditnotes", "list", ""): "applied_invoices exchange_rate is_emailed reference_number",
    ("creditnotes", "detail", "line_items"): "line_item_id sku unit item_order bcy_rate rate discount discount_amount"
    " tax_name tax_type tax_percentage item_total invoice_id invoice_item_id is_returned_to_stock"
    " salesreturn_item_id item_custom_fields tags",
    ("creditnotes", "detail", "invoices"): "creditnote_invoice_id date",
    ("customerpayments", "list", ""): "customer_id customer_name reference_number description payment_type"
    " payment_status bcy_amount unused_amount tax_amount_withheld account_id account_name invoice_numbers"
    " applied_invoices payment_gateway gateway_transaction_id created_time last_modified_time",
    ("customerpayments", "detail", "invoices"): "invoice_payment_id",
    ("inventoryadjustments", "list", ""): "status quantity_adjusted value_adjusted item_id name warehouse_id"
    " warehouse_name created_by_id created_by_name last_modified_by_id last_modified_by_name created_time"
    " last_modified_time",
    ("inventoryadjustments", "detail", "line_items"): "sku item_order rate value_adjusted",
    ("users", "list", ""): "mobile",
}


def distil(folder: Path) -> dict[str, dict[str, dict[str, list[str]]]]:
    """The table: by path and door, the keys of each part of a record."""
    files = {api: [*map(_loaded, sorted((folder / name).glob("*.yml")))] for api, name in FOLDERS.items()}
    table: dict[str, dict[str, Parts]] = {}
    for entity in ENTITIES.values():
        doors = table.setdefault(entity.stream.path, {})
        for door, path, key in _doors(entity):
            parts = doors.setdefault(door, {"": set()})
            # One organisation is behind both products: a record is the same in each, a list is trimmed to its own.
            told = files.values() if door == "detail" else [files[entity.stream.api]]
            for document, schema in (each for of_api in told for each in _answers(of_api, path)):
                _add(parts, document, _record_of(document, schema, key), entity)
            for name in WIRE.get((entity.stream.path, door), ()):
                described = json.loads((folder / "wire-schemas" / f"{name}.json").read_text())
                parts.setdefault("", set()).update(described["properties"])
                _add(parts, {}, described, entity)
            for (seen_path, seen_door, part), keys in SEEN.items():
                if (seen_path, seen_door) == (entity.stream.path, door):
                    parts.setdefault(part, set()).update(keys.split())
    return {
        path: {door: {part: sorted(keys) for part, keys in parts.items()} for door, parts in doors.items()}
        for path, doors in table.items()
    }


def _doors(entity: Entity) -> Iterator[tuple[str, str, str]]:
    stream = entity.stream
    yield "list", rf"/{stream.path}", stream.list_key
    yield "detail", rf"/{stream.path}/\{{[^}}]*\}}", stream.record_key
    if stream.batch:
        yield "detail", rf"/{stream.batch.path}", stream.list_key


def _loaded(file: Path) -> Mapping[str, Any]:
    return yaml.safe_load(file.read_text())  # type: ignore[no-any-return]


def _answers(documents: Iterable[Mapping[str, Any]], path: str) -> Iterator[tuple[Mapping[str, Any], Any]]:
    for document in documents:
        for name, calls in document.get("paths", {}).items():
            if re.fullmatch(path, name) and "get" in calls:
                good = (each for status, each in calls["get"]["responses"].items() if str(status).startswith("2"))
                for content in _resolved(document, next(good)).get("content", {}).values():
                    yield document, content.get("schema", {})


def _record_of(document: Mapping[str, Any], schema: Any, key: str) -> Any:
    """The record inside an answer; some descriptions spell the key otherwise, or are of another record."""
    members = _properties(document, schema)
    spelled = {name.replace("_", ""): each for name, each in members.items()}
    return members.get(key) or spelled.get(key.replace("_", "")) or {}


def _add(parts: Parts, document: Mapping[str, Any], record: Any, entity: Entity) -> None:
    keys = _properties(document, record)
    parts.setdefault("", set()).update(keys)
    for lines in entity.lines:
        if lines.key in keys:
            parts.setdefault(lines.key, set()).update(_properties(document, keys[lines.key]))


def _properties(document: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    schema = _resolved(document, schema)
    found: dict[str, Any] = {}
    for each in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        found |= _properties(document, each)
    if "items" in schema:
        found |= _properties(document, schema["items"])
    return found | (schema.get("properties") or {})


def _resolved(document: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    while isinstance(schema, dict) and "$ref" in schema:
        place: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        schema = place
    return schema if isinstance(schema, dict) else {}


if __name__ == "__main__":
    TABLE.write_text(json.dumps(distil(Path(os.environ["ZOHO_DESCRIPTIONS"])), separators=(",", ":")) + "\n")
