"""A pass over an unchanged organisation writes nothing, however its doors spell nothing, times and numbers."""

import pytest

from tds_models.entities.declaration import Entity, Shows
from tests.support.spellings import respell
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.mark.parametrize("seed", [1, 2])
def test_no_spelling_of_the_same_makes_a_version_or_a_reading(
    synced: World, standin: StandIn, entity: Entity, seed: int
) -> None:
    synced.run(entity.name, "full")
    told = synced.value("select count(*) from tds_audit_trail")
    for turn, mode in enumerate(("full", "incremental")):
        respell(standin, [entity.stream.path], seed * 10 + turn)
        standin.calls.clear()
        synced.run(entity.name, mode)
        changes = synced.rows("select changes, origin from tds_audit_trail order by id offset :told", told=told)
        assert changes == [], mode
        reads_all = entity.stream.list_shows is Shows.NONE or (
            entity.stream.list_shows is Shows.SOME and mode == "full"
        )
        details = [path for path in standin.calls if path.count("/") > 3 or path.endswith("itemdetails")]
        assert reads_all or details == [], mode
        assert synced.queue_depth(entity.name) == 0
    standing = synced.mirror(entity.name, "xmin::text")
    synced.run(entity.name, "incremental")
    assert synced.mirror(entity.name, "xmin::text") == standing or entity.stream.list_shows is Shows.NONE
