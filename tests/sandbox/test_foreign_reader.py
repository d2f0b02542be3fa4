"""A reader with other habits than TDS's has the sandbox's lists whole: pages counted up until one is not full.

As common connectors read Zoho: `per_page` or the usual size, everything anew or what changed since a time, no order
asked for, and no look at what an answer says of its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.sandbox.conftest import ORG
from zoho_sandbox.sandbox import Sandbox

PAGE = 200


@dataclass(frozen=True)
class Stream:
    """A list as such a reader declares it: where it is, what names its rows, and which times it filters by."""

    root: str
    path: str
    rows_key: str
    id_key: str
    cursor: str | None = None

    def __str__(self) -> str:
        return f"{self.root.split('/')[1]}-{self.path}"


def books(path: str, id_key: str, cursor: str | None = None) -> Stream:
    return Stream("/books/v3", path, path, id_key, cursor)


def inventory(path: str, id_key: str, rows_key: str = "") -> Stream:
    return Stream("/inventory/v1", path, rows_key or path, id_key)


STREAMS = [
    books("users", "user_id"),
    books("contacts", "contact_id"),
    books("items", "item_id"),
    books("bills", "bill_id", "last_modified_time"),
    books("invoices", "invoice_id", "last_modified_time"),
    books("creditnotes", "creditnote_id", "last_modified_time"),
    books("salesorders", "salesorder_id", "last_modified_time"),
    books("customerpayments", "payment_id"),
    inventory("items", "item_id"),
    inventory("contacts", "contact_id"),
    inventory("inventoryadjustments", "inventory_adjustment_id", "inventory_adjustments"),
    inventory("salesorders", "salesorder_id"),
    inventory("invoices", "invoice_id"),
    inventory("creditnotes", "creditnote_id"),
    inventory("users", "user_id"),
    inventory("pricebooks", "pricebook_id"),
    inventory("locations", "location_id"),
    inventory("categories", "category_id"),
]


@dataclass
class Reader:
    """Reads a stream to its end."""

    client: FlaskClient
    token: str

    def rows(self, stream: Stream, *, size: int | None = PAGE, **asked: Any) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            answer = self.client.get(
                f"{stream.root}/{stream.path}",
                query_string={"organization_id": ORG, "page": page, **({"per_page": size} if size else {}), **asked},
                headers={"Authorization": f"Zoho-oauthtoken {self.token}"},
            )
            assert answer.status_code == 200, answer.text
            rows = answer.json[stream.rows_key]
            yield from rows
            if len(rows) < (size or PAGE):
                return
            page += 1


@pytest.fixture
def reader(sandbox: Sandbox, client: FlaskClient) -> Reader:
    return Reader(client, sandbox.accounts.issue_freely())


@pytest.mark.parametrize("size", [PAGE, None, 7])
@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_list_is_read_whole_by_counting_pages(
    reader: Reader, sandbox: Sandbox, stream: Stream, size: int | None
) -> None:
    rows = list(reader.rows(stream, size=size))
    ids = [row[stream.id_key] for row in rows]
    assert set(ids) == set(sandbox.world.collections[stream.path].records)
    assert len(set(ids)) == len(ids)
    assert all(isinstance(each, str) for each in ids)


@pytest.mark.parametrize("stream", [each for each in STREAMS if each.cursor], ids=str)
def test_what_changed_since_a_time_is_read_whole(reader: Reader, sandbox: Sandbox, stream: Stream) -> None:
    records = sandbox.world.collections[stream.path].records
    times = sorted(record.modified for record in records.values())
    for since in (times[0], times[len(times) // 2], times[-1]):
        asked = {str(stream.cursor): sandbox.clock.stamp(since)}
        found = {row[stream.id_key]: row[str(stream.cursor)] for row in reader.rows(stream, size=7, **asked)}
        assert found == {
            key: sandbox.clock.stamp(each.modified) for key, each in records.items() if each.modified >= since
        }
