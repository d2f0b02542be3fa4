"""All routes of the API by product: nearly the same records are served under Books and under Inventory."""

from flask import Blueprint

from zoho_sandbox.api.automation_routes import add_automation_routes
from zoho_sandbox.api.middleware import guard
from zoho_sandbox.api.read_only_routes import add_fixed_routes
from zoho_sandbox.api.record_routes import add_record_routes
from zoho_sandbox.collection import Facets
from zoho_sandbox.record import BOOKS, INVENTORY

# Path, the collection behind it, and what the path itself filters by.
_PATHS: tuple[tuple[str, str, Facets], ...] = (
    ("items", "items", ()),
    ("contacts", "contacts", ()),
    ("customers", "contacts", (("contact_type", "customer"),)),
    ("vendors", "contacts", (("contact_type", "vendor"),)),
    *((name, name, ()) for name in ("salesorders", "invoices", "customerpayments", "bills", "creditnotes", "users")),
    ("categories", "categories", ()),
    ("settings/taxes", "taxes", ()),
)
_INVENTORY_PATHS: tuple[tuple[str, str, Facets], ...] = (
    ("inventoryadjustments", "inventoryadjustments", ()),
    ("pricebooks", "pricebooks", ()),
)
PREFIXES = {BOOKS: "/books/v3", INVENTORY: "/inventory/v1"}


def api_root(product: str) -> Blueprint:
    """All routes of one product below its prefix."""
    api = Blueprint(product, __name__, url_prefix=PREFIXES[product])
    guard(api, product)
    for path, name, fixed in (*_PATHS, *(_INVENTORY_PATHS if product == INVENTORY else ())):
        add_record_routes(api, path, name, fixed)
    add_automation_routes(api)
    add_fixed_routes(api, bulk_details=product == INVENTORY)
    return api
