"""Vendor: somebody the company buys from. In Zoho a contact of type vendor."""

from tds_models.entities.contact_common import COMMON, balance, contact_stream
from tds_models.entities.declaration import Entity

VENDOR = Entity(
    name="vendor",
    title="Vendors",
    priority=8,
    cached_seconds=600,
    fields=(
        *COMMON,
        balance("outstanding", "outstanding_payable_amount"),
        balance("unused_credits", "unused_credits_payable_amount"),
    ),
    stream=contact_stream("vendor"),
)
