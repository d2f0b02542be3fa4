"""Any record is found by how its number, name or id begins: on a page, and as a list for the dialog."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.page_reader import Pages, pages_of
from tests.support.planted_rows import records

PAGE = "/dashboard/find"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    records(engine, "product", {"name": "Blue <i>widget</i>", "sku": "BW-7"}, {"name": "Red", "sku": "R-1"})
    records(
        engine, "customer", {"name": "Bluebird Trading", "status": "active"}, {"name": "Other", "status": "inactive"}
    )
    with pages_of(database, engine) as pages:
        yield pages


def test_hits_of_every_entity_lead_to_their_records(pages: Pages) -> None:
    page = pages.viewer.get(PAGE, q="blue").text
    for address in ("/dashboard/entities/product/1", "/dashboard/entities/customer/1"):
        assert f'href="{address}"' in page
    assert "Blue &lt;i&gt;widget&lt;/i&gt;" in page
    assert [hit["entity"] for hit in pages.viewer.json(PAGE, q="bw-7")["hits"]["items"]] == ["product"]
    assert [hit["entity"] for hit in pages.viewer.json(PAGE, q="blue", entity="customer")["hits"]["items"]] == [
        "customer"
    ]
    assert "customer" in pages.viewer.get(PAGE, q="blue", format="csv").text


def test_the_dialog_gets_the_list_alone(pages: Pages) -> None:
    answer = pages.viewer.client.get(PAGE, query_string={"q": "blue"}, headers={"HX-Request": "true"})
    assert answer.text.count("<li>") == 2 and "<html" not in answer.text
    assert "No record begins so" in pages.viewer.get(PAGE, q="nothing of this name").text
    assert "Type the beginning" in pages.viewer.get(PAGE).text


def test_rows_are_filtered_by_what_their_entity_declares(pages: Pages) -> None:
    page = "/dashboard/entities/customer"
    assert [row["source_id"] for row in pages.viewer.json(page, status="inactive")["rows"]["items"]] == ["2"]
    assert 'name="status"' in pages.viewer.get(page).text
    refused = pages.viewer.get(page, colour="red")
    assert refused.status_code == 422 and "cannot be filtered by" in refused.text, "an unknown filter never means all"
