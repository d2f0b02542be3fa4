"""The registry: every entity TDS mirrors, one line each, in the order a first load takes them."""

from tds_models.entities.customer import CUSTOMER
from tds_models.entities.invoice import INVOICE
from tds_models.entities.product import PRODUCT
from tds_models.entities.vendor import VENDOR
from tds_models.entity import Entity

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        PRODUCT,
        CUSTOMER,
        VENDOR,
        INVOICE,
    )
}

# Touching the tables here puts them into the metadata that migrations compare with.
for _entity in ENTITIES.values():
    assert _entity.table is not None and _entity.line_tables is not None  # noqa: S101
