"""What the database refuses, or cannot do, concerns one record: that one is given up, and its neighbours go on."""

import random
import string
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tds_core.queue import items
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, product

EVIL = "alter table erp.product add constraint no_evil check (name <> 'Evil')"


@contextmanager
def slow(world: World, when: str) -> Iterator[None]:
    """Rows of which `when` is true take longer to write than anybody waits."""
    world.execute(
        "create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(2); return new; end $$"
    )
    world.execute(
        f"create trigger dawdle before insert or update on erp.product for each row when ({when})"
        " execute function dawdle()"
    )
    yield
    world.execute("drop trigger dawdle on erp.product")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements of a settlement that take longer than a moment are broken off."""
    hurried = items.FENCE.text.replace("'10s'", "'300ms'")
    monkeypatch.setattr(items, "FENCE", text(hurried))


def test_a_page_goes_on_without_the_record_the_database_refuses(synced: World, standin: StandIn) -> None:
    synced.execute(EVIL)
    first, second, *_ = standin.ids("items")
    standin.edit("items", first, name="Evil")
    standin.edit("items", second, name="Good")
    run = synced.run("product", "full")
    assert run["state"] == "completed"
    names = {key: name for key, (name,) in synced.mirror("product", "name").items()}
    assert len(names) == 44
    assert (names.get(first), names[second]) == (None, "Good")
    letter = synced.one("select source_id, error_class, error from tds_dead_letter_queue")
    assert (letter["source_id"], letter["error_class"]) == (first, "validation")
    assert "no_evil" in letter["error"]
    assert "Failing row" not in letter["error"]


def test_it_does_so_when_the_record_was_in_the_mirror_before_and_heals_when_it_is_mended(
    synced: World, standin: StandIn
) -> None:
    synced.run("product", "full")
    synced.execute(EVIL)
    first, second, *_ = standin.ids("items")
    standin.edit("items", first, name="Evil")
    standin.edit("items", second, name="Good")
    assert synced.run("product", "incremental")["state"] == "completed"
    assert synced.row("product", second)["name"] == "Good"
    assert synced.value("select source_id from tds_dead_letter_queue where resolved_at is null") == first
    standin.edit("items", first, name="Mended")
    synced.run("product", "incremental")
    assert synced.row("product", first)["name"] == "Mended"
    assert synced.value("select count(*) from tds_dead_letter_queue where resolved_at is null") == 0


def test_what_is_too_large_for_an_index_is_the_records_fault_and_no_outage(
    world: World, source: ScriptedSource
) -> None:
    world.execute("create index on erp.product (description)")
    noise = "".join(random.Random(7).choices(string.ascii_letters, k=9_000))  # what repeats would be compressed
    source.records = {"1": product("1", description=noise), "2": product("2")}
    world.enqueue("product", "1", "2", must_read=True)
    world.drain("product")
    assert world.mirror("product", "name").keys() == {"2"}
    assert world.value("select error_class from tds_dead_letter_queue") == "validation"


@pytest.mark.usefixtures("impatient")
def test_a_record_whose_statement_takes_too_long_pays_for_it_alone(world: World, source: ScriptedSource) -> None:
    ids = [str(n) for n in range(1, 6)]
    source.records = {each: product(each) for each in ids}
    world.enqueue("product", *ids, must_read=True)
    world.drain("product")
    source.records = {each: product(each, second=1, name="New") for each in ids}
    world.enqueue("product", *ids, must_read=True)
    with slow(world, "new.source_id = '3'"):
        world.drain("product")
        names = world.mirror("product", "name")
        assert {key for key, (name,) in names.items() if name == "New"} == set(ids) - {"3"}
        item = world.one("select source_id, attempts, last_error from tds_sync_queue where entity = 'product'")
        assert (item["source_id"], item["attempts"]) == ("3", 1)
        assert "statement timeout" in item["last_error"]
    world.drain("product", make_due=True)
    assert world.row("product", "3")["name"] == "New"


@pytest.mark.usefixtures("impatient")
def test_when_everything_takes_too_long_the_batch_waits(world: World, source: ScriptedSource) -> None:
    ids = [str(n) for n in range(1, 6)]
    source.records = {each: product(each) for each in ids}
    world.enqueue("product", *ids, must_read=True)
    with slow(world, "true"):
        world.drain("product")
    attempts = world.rows("select attempts from tds_sync_queue where entity = 'product' order by source_id")
    assert [row["attempts"] for row in attempts] == [1, 0, 0, 0, 0]
    world.drain("product", make_due=True)
    assert len(world.mirror("product", "name")) == 5
