"""The entities a promise is about, chosen by what their declarations say."""

from collections.abc import Callable

import pytest

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import CUSTOM


def each(holds: Callable[[Entity], object]) -> pytest.MarkDecorator:
    """Run a test for every entity of which this holds."""
    chosen = [entity for entity in ENTITIES.values() if holds(entity)]
    return pytest.mark.parametrize("entity", chosen, ids=lambda entity: entity.name)


def is_announced(entity: Entity) -> bool:
    """Zoho's workflow rules know its module, so webhooks tell of it."""
    return entity.stream.rule_module is not None


def has_custom_fields(entity: Entity) -> bool:
    """It keeps the organisation's own fields."""
    return any(field.kind is CUSTOM for field in entity.fields)
