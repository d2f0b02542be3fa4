"""The kinds of record the sandbox serves: one declaration in a file for each, found here by plural name."""

from zoho_sandbox.entities.bills import BILLS
from zoho_sandbox.entities.contacts import contact_shape
from zoho_sandbox.entities.creditnotes import CREDIT_NOTES
from zoho_sandbox.entities.customerpayments import CUSTOMER_PAYMENTS
from zoho_sandbox.entities.declaration import shape_of
from zoho_sandbox.entities.inventoryadjustments import INVENTORY_ADJUSTMENTS
from zoho_sandbox.entities.invoices import INVOICES
from zoho_sandbox.entities.items import item_shape
from zoho_sandbox.entities.lookup_lists import CATEGORIES, LOCATIONS, TAXES, USERS
from zoho_sandbox.entities.pricebooks import PRICE_LISTS
from zoho_sandbox.entities.salesorders import SALES_ORDERS
from zoho_sandbox.entities.undocumented_fields import as_shown
from zoho_sandbox.organization import Organization
from zoho_sandbox.record import Shape

_DECLARED = (
    *(SALES_ORDERS, INVOICES, CUSTOMER_PAYMENTS, BILLS, CREDIT_NOTES, INVENTORY_ADJUSTMENTS),
    *(PRICE_LISTS, USERS, TAXES, CATEGORIES, LOCATIONS),
)


def all_shapes(organization: Organization) -> dict[str, Shape]:
    """Every shape by its plural name."""
    declared = (shape_of(each, organization, organization.wrappers.get(each.rule_module, "")) for each in _DECLARED)
    shapes = (item_shape(organization), contact_shape(organization), *declared)
    return {shape.name: as_shown(shape, organization) for shape in shapes}
