"""Customer: somebody the company sells to. In Zoho a contact of type customer."""

from tds_models.entities.contact_common import COMMON, balance, contact_stream
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import text

CUSTOMER = Entity(
    name="customer",
    title="Customers",
    priority=5,
    cached_seconds=600,
    fields=(
        *COMMON,
        text("customer_sub_type"),
        balance("outstanding", "outstanding_receivable_amount"),
        balance("unused_credits", "unused_credits_receivable_amount"),
    ),
    stream=contact_stream("customer"),
)
