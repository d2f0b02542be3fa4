"""The tuned floor, where it may not ask for pages by their number.

A list that is read by numbers loses a record when one before it changes and moves to the end. Asked for by the time of
the last row of the page before, it loses none; but no page can be asked for before that one is there.
"""

import http.client
import threading
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from queue import Queue
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from benchmarks import bulk_tuned_floor
from benchmarks.bulk_tuned_floor import decode_id, decode_page
from benchmarks.list_server import PAGE

SCHEMA, AHEAD = "ordered_floor", 4
decode_time = msgspec.json.Decoder(msgspec.defstruct("Head", [("last_modified_time", str)])).decode


def pages_in_order(url: str, since: str | None) -> Iterator[list[Any]]:
    """The pages of the list in the order of their times, each asked for as soon as the one before is there."""
    address = urlsplit(url)
    waiting: Queue[list[Any] | None] = Queue(AHEAD)

    def fetch() -> None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port)
        newest, page, shown = since, 1, set[str]()
        while True:
            filtered = f"&last_modified_time={quote(newest)}" if newest else ""
            connection.request("GET", f"/inventory/v1/items?page={page}&per_page={PAGE}{filtered}")
            listing = decode_page(connection.getresponse().read())
            # The first rows are those of the last second of the page before.
            waiting.put(_without(shown, listing.items))
            if not listing.page_context["has_more_page"]:
                waiting.put(None)
                return
            last = decode_time(listing.items[-1]).last_modified_time
            page = page + 1 if last == newest else 1
            newest, shown = last, _ids_of(last, listing.items)

    threading.Thread(target=fetch, daemon=True).start()
    while (rows := waiting.get()) is not None:
        yield rows


def _without(shown: set[str], rows: list[Any]) -> list[Any]:
    return list(dropwhile(lambda row: decode_id(row).item_id in shown, rows))


def _ids_of(time: str, rows: list[Any]) -> set[str]:
    """The ids of the last rows, which have this time of change."""
    of_time = takewhile(lambda row: decode_time(row).last_modified_time == time, reversed(rows))
    return {decode_id(row).item_id for row in of_time}


if __name__ == "__main__":
    bulk_tuned_floor.main(SCHEMA, pages_in_order)
