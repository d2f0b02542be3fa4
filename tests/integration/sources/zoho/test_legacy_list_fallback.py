"""Organisations that have warehouses still: their places are mirrored as locations, whatever is said of locations."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from tests.support import world as worlds
from tests.support.standin import SMALL, StandIn, serving
from tests.support.world import World
from zoho_sandbox.api_faults import Appointment

OLDER = "/inventory/v1/settings/warehouses"
ROWS = "select source_id, name, status, is_primary from erp.location where deleted_at is null order by source_id"


@pytest.fixture(params=[True, False], ids=["empty", "no such address"])
def standin(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with serving(msgspec.structs.replace(SMALL, warehouses=True, warehouses_know_locations=request.param)) as standin:
        yield standin


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path, standin: StandIn
) -> Iterator[World]:
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), standin.settings) as world:
        yield world


def there(standin: StandIn) -> list[tuple[object, ...]]:
    found = standin.sandbox.world.collections["locations"].records.values()
    keys = ("location_name", "status", "is_primary")
    return sorted((record.id, *(record.state[key] for key in keys)) for record in found)


def read(world: World, kind: str = "full") -> list[tuple[object, ...]]:
    """The places as they stand here after a pass."""
    assert world.run("location", kind)["state"] == "completed"
    world.drain("location")
    assert world.value("select count(*) from tds_dead_letter_queue") == 0
    return [tuple(row.values()) for row in world.rows(ROWS)]


def test_warehouses_are_locations(world: World, standin: StandIn) -> None:
    assert read(world) == there(standin) != []


def test_a_quiet_pass_over_warehouses_writes_nothing_and_asks_little(world: World, standin: StandIn) -> None:
    read(world)
    told = world.value("select count(*) from tds_audit_trail")
    standin.calls.clear()
    read(world)
    assert world.value("select count(*) from tds_audit_trail") == told
    assert standin.calls.count(OLDER) <= 2
    assert len(standin.calls) <= 5, standin.calls  # of a refused record first whether the module shows any


def test_a_warehouse_that_changes_or_goes_does_so_here(world: World, standin: StandIn) -> None:
    read(world)
    first, second, *_ = sorted(standin.ids("locations"))
    standin.edit("locations", first, location_name="Renamed")
    assert read(world) == there(standin)
    standin.delete("locations", second)
    assert read(world) == there(standin)
    assert world.value("select deleted_at is not null from erp.location where source_id = :id", id=second)


def test_the_source_record_of_a_warehouse_is_as_it_was_sent(world: World, standin: StandIn) -> None:
    read(world)
    records = [row["source_record"] for row in world.rows("select source_record from erp.location")]
    assert all("warehouse_id" in record and "location_id" not in record for record in records)


def test_warehouses_that_may_not_be_read_wait_by_themselves(world: World, standin: StandIn) -> None:
    standin.sandbox.faults.appoint(Appointment("refusal", count=0, path_prefix=OLDER, status=401))
    run_id = world.request_run("location", "full")
    world.advance(run_id)
    assert world.run_row(run_id)["state"] in ("queued", "running")
    assert world.rows("select path, source_id from tds_missing_permissions") == [{"path": "locations", "source_id": ""}]
