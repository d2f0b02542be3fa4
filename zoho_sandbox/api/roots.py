"""One REST root: the same records are served under Books and under Inventory."""

from flask import Blueprint

from zoho_sandbox.api.automation import add_automation_routes
from zoho_sandbox.api.fixed import add_fixed_routes
from zoho_sandbox.api.gate import guard
from zoho_sandbox.api.records import add_record_routes
from zoho_sandbox.collection import Facets

# Path, plural name of the records behind it, and what the path itself filters by.
_PATHS: tuple[tuple[str, str, Facets], ...] = (
    ("items", "items", ()),
    ("contacts", "contacts", ()),
    ("customers", "contacts", (("contact_type", "customer"),)),
    ("vendors", "contacts", (("contact_type", "vendor"),)),
    ("invoices", "invoices", ()),
)


def api_root(product: str, prefix: str) -> Blueprint:
    """All routes of one product below its prefix."""
    api = Blueprint(product, __name__, url_prefix=prefix)
    guard(api, product)
    for path, plural, fixed in _PATHS:
        add_record_routes(api, path, plural, fixed)
    add_automation_routes(api)
    add_fixed_routes(api, bulk_details=product == "ZohoInventory")
    return api
