"""Passes over an organisation of thousands in which nothing happened: no version, no event, the fewest calls."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity, Increment, Shows
from tests.support import world as worlds
from tests.support.change_events import Telling, telling
from tests.support.receiver import receiving
from tests.support.spellings import respell
from tests.support.standin import SMALL, StandIn, serving
from tests.support.world import World

PAGE = 200
THOUSANDS = msgspec.structs.replace(
    SMALL, products=3050, customers=3400, vendors=420, invoices=500, orders=450, payments=300, bills=210,
    credit_notes=90, adjustments=210, price_lists=7, prices=2000, users=12,
)  # fmt: skip
FULL = [(entity, "full") for entity in ENTITIES.values()]
LATER = [(entity, "incremental") for entity in ENTITIES.values()]
TABLES = [table for entity in ENTITIES.values() for table in (entity.table, *entity.line_tables.values())]
STOCK = [(ENTITIES["stock_level"], "incremental")]


@dataclass
class Quiet:
    """An organisation, its mirror with all that was owed read, and a program that hears of changes."""

    standin: StandIn
    world: World
    shop: Telling

    def load(self) -> None:
        """Everything comes over, and what is owed is read."""
        for entity, mode in FULL:
            self.world.advance(self.world.request_run(entity.name, mode))
        while self.world.queue_depth():
            for entity, _ in FULL:
                self.world.drain(entity.name)
        self.shop.subscribe()

    def count(self, entity: Entity) -> int:
        """The living records the mirror has."""
        return int(self.world.value(f"select count(*) from {entity.table.fullname} where deleted_at is null"))

    def calls(self, entity: Entity, mode: str) -> tuple[int, int]:
        """How many calls for lists and for details a pass makes."""
        self.standin.calls.clear()
        assert self.world.run(entity.name, mode)["state"] == "completed"
        root = f"/{entity.stream.api}/v{3 if entity.stream.api == 'books' else 1}/{entity.stream.path}"
        kinds = Counter(path == root for path in self.standin.calls if not path.startswith("/oauth"))
        return kinds[True], kinds[False]

    def least_calls(self, entity: Entity, mode: str) -> tuple[int, int]:
        """How many it needs: a page for 200 records, and details where no list gives a change away.

        A page asked for by time begins with the record that the page before ended with.
        """
        count, by_time = self.count(entity), entity.stream.increment is Increment.FILTER
        shows, batch = entity.stream.list_shows, entity.stream.batch
        pages = ceil((count - 1) / (PAGE - 1)) if by_time else ceil(count / PAGE)
        reads_details = shows is Shows.NONE or (shows is Shows.SOME and mode == "full")
        return pages if mode == "full" or not by_time else 1, ceil(count / (batch.size if batch else 1)) * reads_details

    def assert_nothing_happens(self, passes: Sequence[tuple[Entity, str]]) -> None:
        """Make passes: they tell nobody anything, owe nothing and ask for no more than they need."""
        told = self.world.value("select count(*) from tds_audit_trail")
        for entity, mode in passes:
            assert self.calls(entity, mode) == self.least_calls(entity, mode), (entity.name, mode)
        assert self.world.rows("select entity, changes from tds_audit_trail order by id offset :told", told=told) == []
        assert (self.shop.deliver(), self.shop.owed(), self.shop.receiver.got) == (0, 0, [])
        assert self.world.queue_depth() == 0
        assert self.world.value("select count(*) from tds_dead_letter_queue") == 0

    def written(self) -> dict[str, list[tuple[str, str]]]:
        """Where each row and line of the mirror stands, and which transaction wrote it."""
        return {
            table.name: sorted(
                self.world.rows(f"select ctid::text as place, xmin::text as by from {table.fullname}"), key=str
            )
            for table in TABLES
        }

    def content(self) -> dict[str, str]:
        """All that the mirror says, apart from how and when a list last spelled it."""
        said = "(to_jsonb(t) - '{list_hash,confirmed_at,source_record}'::text[])::text"
        return {
            table.name: self.world.value(f"select md5(string_agg({said}, ',' order by {said})) from {table.fullname} t")
            for table in TABLES
        }


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path) -> Iterator[Quiet]:
    with (
        serving(THOUSANDS) as standin,
        worlds.opened(monkeypatch, engine, database, str(tmp_path), standin.settings) as world,
        receiving() as receiver,
        telling(world, receiver, monkeypatch) as shop,
    ):
        yield Quiet(standin, world, shop)


def test_passes_over_an_unchanged_organisation_touch_nothing_and_ask_the_least(quiet: Quiet) -> None:
    quiet.load()
    assert sum(quiet.count(entity) for entity, _ in FULL if entity.name != "stock_level") >= 8500
    standing = quiet.written()
    quiet.assert_nothing_happens([*FULL, *STOCK, *LATER])
    assert quiet.written() == standing
    told = quiet.content()
    respell(quiet.standin, {entity.stream.path for entity, _ in FULL}, seed=1)
    quiet.assert_nothing_happens(FULL)
    assert quiet.content() == told
    standing = quiet.written()
    quiet.assert_nothing_happens([*STOCK, *LATER, *FULL])
    assert quiet.written() == standing
