"""The kinds of record the sandbox serves, and the three shapes they have on the wire."""

from zoho_sandbox.entities.contacts import contact_shape
from zoho_sandbox.entities.invoices import invoice_shape
from zoho_sandbox.entities.items import item_shape
from zoho_sandbox.organization import Organization
from zoho_sandbox.records import Shape


def all_shapes(organization: Organization) -> dict[str, Shape]:
    """Every shape by its plural name."""
    shapes = (item_shape(organization), contact_shape(organization), invoice_shape(organization))
    return {shape.plural: shape for shape in shapes}
