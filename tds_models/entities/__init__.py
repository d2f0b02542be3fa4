"""The registry of entities, one line each, in the order of a first load."""

from tds_models.entities.bill import BILL
from tds_models.entities.category import CATEGORY
from tds_models.entities.credit_note import CREDIT_NOTE
from tds_models.entities.customer import CUSTOMER
from tds_models.entities.customer_payment import CUSTOMER_PAYMENT
from tds_models.entities.declaration import Entity
from tds_models.entities.invoice import INVOICE
from tds_models.entities.location import LOCATION
from tds_models.entities.price_list import PRICE_LIST
from tds_models.entities.product import PRODUCT
from tds_models.entities.sales_order import SALES_ORDER
from tds_models.entities.stock_adjustment import STOCK_ADJUSTMENT
from tds_models.entities.stock_level import STOCK_LEVEL
from tds_models.entities.user import USER
from tds_models.entities.vendor import VENDOR

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        LOCATION,
        CATEGORY,
        USER,
        PRODUCT,
        CUSTOMER,
        VENDOR,
        PRICE_LIST,
        STOCK_LEVEL,
        SALES_ORDER,
        INVOICE,
        CUSTOMER_PAYMENT,
        CREDIT_NOTE,
        BILL,
        STOCK_ADJUSTMENT,
    )
}

# Building the tables here adds them to the metadata that migrations compare with.
for _entity in ENTITIES.values():
    assert _entity.table is not None and _entity.line_tables is not None  # noqa: S101
