"""Stock says nothing of its own changes: it is read anew where a product or a document moved it, and nowhere else."""

import pytest

from tests.support.world import ScriptedSource, World, delivery, invoice, product, script

OWED = "select source_id, origin, priority from tds_sync_queue where entity = 'stock_level' order by source_id"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    return script(monkeypatch, ScriptedSource())


def owed(world: World) -> list[str]:
    return [row["source_id"] for row in world.rows(OWED)]


def test_a_document_owes_a_reading_to_the_stock_of_each_of_its_products(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("invoice", invoice()))
    world.drain("invoice")
    assert owed(world) == ["460000000000001", "460000000000002"]
    assert world.rows(OWED)[0]["priority"] < 10  # live, not bulk


def test_a_price_moves_no_stock_and_a_quantity_does(world: World, source: ScriptedSource) -> None:
    world.know("product", product(stock_on_hand=5))
    world.deliver(delivery("product", product(stock_on_hand=5)))
    world.drain("product")
    world.execute("delete from tds_sync_queue where entity = 'stock_level'")
    world.deliver(delivery("product", product(second=1, stock_on_hand=5, rate=99)))
    world.drain("product")
    assert owed(world) == []
    world.deliver(delivery("product", product(second=2, stock_on_hand=4, rate=99)))
    world.drain("product")
    assert owed(world) == [product()["item_id"]]


def test_an_unchanged_document_moves_nothing(world: World, source: ScriptedSource) -> None:
    world.know("invoice", invoice())
    world.deliver(delivery("invoice", invoice()))
    world.drain("invoice")
    world.execute("delete from tds_sync_queue where entity = 'stock_level'")
    world.deliver(delivery("invoice", invoice(second=1)))
    world.drain("invoice")
    assert owed(world) == []


def test_what_is_read_in_bulk_is_left_to_the_next_pass_over_the_stock(world: World, source: ScriptedSource) -> None:
    source.records[invoice()["invoice_id"]] = invoice()
    world.enqueue("invoice", invoice()["invoice_id"], bulk=True)
    world.drain("invoice")
    assert world.value("select count(*) from erp.invoice_line") == 2
    assert owed(world) == []


def test_a_document_that_is_gone_gives_its_stock_back(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("invoice", invoice()))
    world.drain("invoice")
    world.execute("delete from tds_sync_queue where entity = 'stock_level'")
    world.enqueue("invoice", invoice()["invoice_id"])
    world.drain("invoice")
    assert world.row("invoice", invoice()["invoice_id"])["deleted_at"] is not None
    assert owed(world) == ["460000000000001", "460000000000002"]
