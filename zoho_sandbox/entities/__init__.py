"""The kinds of record the sandbox serves: one file of facts for each, found here by plural name."""

from zoho_sandbox.entities.bills import BILLS
from zoho_sandbox.entities.contacts import contact_shape
from zoho_sandbox.entities.creditnotes import CREDIT_NOTES
from zoho_sandbox.entities.customerpayments import CUSTOMER_PAYMENTS
from zoho_sandbox.entities.doors import as_shown
from zoho_sandbox.entities.facts import shape_of
from zoho_sandbox.entities.inventoryadjustments import INVENTORY_ADJUSTMENTS
from zoho_sandbox.entities.invoices import INVOICES
from zoho_sandbox.entities.items import item_shape
from zoho_sandbox.entities.pricebooks import PRICE_LISTS
from zoho_sandbox.entities.salesorders import SALES_ORDERS
from zoho_sandbox.entities.settings import CATEGORIES, LOCATIONS, TAXES, USERS
from zoho_sandbox.organization import Organization
from zoho_sandbox.records import Shape

_DECLARED = (
    *(SALES_ORDERS, INVOICES, CUSTOMER_PAYMENTS, BILLS, CREDIT_NOTES, INVENTORY_ADJUSTMENTS),
    *(PRICE_LISTS, USERS, TAXES, CATEGORIES, LOCATIONS),
)


def all_shapes(organization: Organization) -> dict[str, Shape]:
    """Every shape by its plural name."""
    declared = (shape_of(facts, organization, organization.wrappers.get(facts.rule_module, "")) for facts in _DECLARED)
    shapes = (item_shape(organization), contact_shape(organization), *declared)
    return {shape.name: as_shown(shape, organization) for shape in shapes}
