"""Price lists: another price for some items, or a percentage on all. Nothing tells when one changed."""

from zoho_sandbox.entities.declaration import Declaration
from zoho_sandbox.organization import Organization
from zoho_sandbox.record import Record, Rendered

_ROW: Rendered = {
    "pricebook_id": "",
    "name": "",
    "description": "",
    "currency_id": "",
    "currency_code": "",
    "is_default": False,
    "is_increase": False,
    "percentage": 0.0,
    "pricebook_type": "per_item",
    "pricing_scheme": "unit",
    "rounding_type": "no_rounding",
    "sales_or_purchase_type": "sales",
    "status": "active",
    "decimal_place": 2,
}


def _parts(_organization: Organization, record: Record) -> Rendered:
    rows = [
        {
            "pricebook_item_id": price_id,
            "item_id": item_id,
            "pricebook_rate": rate,
            "pricebook_discount": "",
            "pricing_scheme": "unit",
            "price_brackets": [],
        }
        for item_id, (price_id, rate) in record.state["prices"].items()
    ]
    return {"pricebook_items": rows}


PRICE_LISTS = Declaration(
    plural="pricebooks",
    singular="pricebook",
    noun="Price List",
    report_name="Price Lists",
    row=_ROW,
    detail=_ROW | {"pricebook_items": []},
    parts=_parts,
    default_sort="name",
    default_order="A",
    keys={"name": lambda record: str(record.state["name"]).lower()},
    facets=("status",),
    status_filters={"Status.Active": ("status", "active"), "Status.Inactive": ("status", "inactive")},
    search=("name", "description"),
    incremental=frozenset(),
    name_key="name",
)
