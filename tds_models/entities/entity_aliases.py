"""Names of entities as people and other programs write them: in the plural, with hyphens, or as the source says."""

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

#: What the plural of the title does not tell.
_OTHERWISE = {"item": "product", "items": "product", "stock": "stock_level", "stocks": "stock_level"}


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


_NAMES = {
    **{_plain(name): ENTITIES[entity] for name, entity in _OTHERWISE.items()},
    **{_plain(name): entity for entity in ENTITIES.values() for name in (entity.name, entity.title)},
}


def entity_called(name: str) -> Entity | None:
    """The entity called `name`: `product`, `products`, `sales_order`, `sales-orders`, `items`; None without one."""
    return _NAMES.get(_plain(name))
