"""Contract tests stand on the same world as the core's integration tests, once for each entity."""

import pytest

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tests.conftest import standin, synced

__all__ = ["entity", "standin", "synced"]


@pytest.fixture(params=list(ENTITIES.values()), ids=lambda entity: entity.name)
def entity(request: pytest.FixtureRequest) -> Entity:
    """Every entity of the registry, one after the other."""
    return request.param
