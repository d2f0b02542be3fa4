"""A list of wide records that costs next to nothing to serve, so that a load's time is the loader's own.

100,000 items of 45 fields are spelled once; a page is a slice of bytes that stand already. Three versions of the list,
each with another hundredth of the records changed. Sorted by time of change, and filtered by it inclusively, as Zoho's.
Prints one line of JSON once it listens: its address and what a client logs in with.
"""

import argparse
import asyncio
import bisect
import json
import random
import signal
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PAGE = 200
_ZONE = timezone(timedelta(hours=3))
_BEGIN = datetime(2023, 1, 1, 9, tzinfo=_ZONE)
#: When the records of the second and of the third version changed.
_CHANGED = (datetime(2026, 6, 1, 10, tzinfo=_ZONE), datetime(2026, 7, 1, 10, tzinfo=_ZONE))
_WORDS = [
    "amber",
    "birch",
    "cobalt",
    "dune",
    "ember",
    "fjord",
    "garnet",
    "heather",
    "indigo",
    "juniper",
    "kelp",
    "linen",
    "maple",
    "nickel",
    "onyx",
    "pearl",
]


def spelled(moment: datetime) -> str:
    """A moment as Zoho writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S%z")


def record(number: int, chance: random.Random) -> dict[str, Any]:
    """One item of 45 fields; the same `number` and seed make the same one."""
    created = _BEGIN + timedelta(minutes=number)
    name = f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {number:06d}"
    rate, stock = round(chance.uniform(1, 5000), 2), chance.randrange(5000)
    category, tax, pictured = chance.randrange(8), chance.randrange(5), number % 3 == 0
    return {
        "item_id": str(4_600_000_000_000_000_000 + number * 37), "name": name, "item_name": name,
        "category_id": f"46000000000000{category:05d}", "category_name": f"{_WORDS[category]} “goods”",
        "unit": chance.choice(("pcs", "box", "kg", "m")), "status": "active" if chance.random() < 0.93 else "inactive",
        "source": "user", "is_combo_product": False, "is_linked_with_zohocrm": False, "zcrm_product_id": "",
        "description": f"{name}: {' '.join(chance.choices(_WORDS, k=9))}.\nSee \"sheet\\{number % 97}\".",
        "brand": chance.choice(_WORDS), "manufacturer": chance.choice(_WORDS), "rate": rate,
        "tax_id": f"46000000000001{tax:05d}", "tax_name": f"Tax {tax * 5}", "tax_percentage": tax * 5,
        "purchase_account_id": "4600000000000034003", "purchase_account_name": "Cost of Goods Sold",
        "account_id": "4600000000000000388", "account_name": "Sales",
        "purchase_description": f"Lot {chance.randrange(10**6):06d}", "purchase_rate": round(rate * 0.6, 2),
        "can_be_sold": True, "can_be_purchased": True, "track_inventory": True, "item_type": "inventory",
        "product_type": "goods", "stock_on_hand": float(stock), "has_attachment": pictured, "is_returnable": True,
        "available_stock": float(stock - 2), "actual_available_stock": float(stock - 3), "sku": f"SKU-{number:07d}",
        "upc": f"{chance.randrange(10**12):012d}", "ean": f"{chance.randrange(10**13):013d}", "isbn": "",
        "part_number": f"PN{chance.randrange(10**8):08d}", "reorder_level": str(chance.randrange(200)),
        "hsn_or_sac": f"{chance.randrange(10**8):08d}", "image_name": f"{number}.jpg" if pictured else "",
        "custom_fields": [{"customfield_id": "4600000000000451001", "label": "Bin", "value": f"A{number % 40}",
                           "data_type": "string", "index": 1}],
        "created_time": spelled(created), "last_modified_time": spelled(created + timedelta(seconds=number % 997)),
    }  # fmt: skip


def _changed_at(each: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(each["last_modified_time"])


class RecordList:
    """One version of the list: its records in the order of their times, as one text with the place of each."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        ordered = sorted(records, key=_changed_at)
        parts = [json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() for each in ordered]
        self._times = [_changed_at(each) for each in ordered]
        self.of_id = {str(each["item_id"]): part for each, part in zip(ordered, parts, strict=True)}
        self._text = b",".join(parts)
        self._ends = []
        end = 0
        for part in parts:
            end += len(part) + 1
            self._ends.append(end)

    def page(self, number: int, size: int, since: str | None) -> bytes:
        """A page of the list, from `since` on."""
        passed = bisect.bisect_left(self._times, datetime.fromisoformat(since)) if since else 0
        first = min(passed + (number - 1) * size, len(self._times))
        last = min(first + size, len(self._times))
        begin, end = (self._ends[first - 1] if first else 0), (self._ends[last - 1] - 1 if last else 0)
        rows = self._text[begin:end] if first < last else b""
        context = {
            "page": number, "per_page": size, "has_more_page": last < len(self._times),
            "sort_column": "last_modified_time", "sort_order": "A",
        }  # fmt: skip
        return b'{"code":0,"message":"success","items":[%b],"page_context":%b}' % (rows, json.dumps(context).encode())


def versions_of(count: int) -> list[RecordList]:
    """The list as it is at first, and after each of two hundredths of it changed."""
    chance = random.Random(7)
    records = [record(number, chance) for number in range(count)]
    made = [RecordList(records)]
    some = max(1, count // 100)
    for number, changed_at in enumerate(_CHANGED):
        for place in range(number * some, (number + 1) * some):
            records[place] |= {"rate": records[place]["rate"] + 1, "last_modified_time": spelled(changed_at)}
        made.append(RecordList(records))
    return made


class Exchange(asyncio.Protocol):
    """One connection: requests without a body or with one that means nothing here, answered in turn."""

    def __init__(self, server: "ListServer") -> None:
        self._server, self._received = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].decode("latin-1")
            length = next(
                (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
            )
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            body = self._server.answer(head.split(" ", 2)[1])
            status = b"200 OK" if body is not None else b"404 Not Found"
            body = body if body is not None else b'{"code":5,"message":"Invalid URL Passed"}'
            answer = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
                status,
                len(body),
            )
            self._transport.write(answer + body)  # type: ignore[attr-defined]


class ListServer:
    """What is asked of Zoho for a list of items, and `/_control/version` and `/_control/state` of our own."""

    def __init__(self, versions: list[RecordList]) -> None:
        self._versions, self._current, self._call_count = versions, versions[0], 0

    def answer(self, target: str) -> bytes | None:
        """The body of an answer; None for an address that is not served."""
        address = urlsplit(target)
        query = dict(parse_qsl(address.query))
        match address.path:
            case "/inventory/v1/items":
                self._call_count += 1
                since = query.get("last_modified_time")
                return self._current.page(int(query.get("page", 1)), int(query.get("per_page", PAGE)), since)
            case "/inventory/v1/itemdetails":
                self._call_count += 1
                found = (self._current.of_id[each] for each in query["item_ids"].split(","))
                return b'{"code":0,"message":"success","items":[%b]}' % b",".join(found)
            case "/oauth/v2/token":
                return json.dumps({
                    "access_token": "1000.list", "expires_in": 3600, "token_type": "Bearer",
                    "scope": "ZohoInventory.FullAccess.all ZohoBooks.fullaccess.all",
                }).encode()  # fmt: skip
            case "/_control/version":
                self._current = self._versions[int(query["number"])]
                return b"{}"
            case "/_control/state":
                return json.dumps({"api_calls": {"items": {"200": self._call_count}}}).encode()
        return None


async def serve(records: int) -> None:
    """Serve until told to end."""
    server = ListServer(versions_of(records))
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    listener = await loop.create_server(lambda: Exchange(server), "127.0.0.1", 0, backlog=128)
    host, port = listener.sockets[0].getsockname()
    told = {
        "url": f"http://{host}:{port}", "client_id": "1000.LIST", "client_secret": "list", "refresh_token": "1000.list",
        "organization_id": "876543210",
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    asyncio.run(serve(parser.parse_args().records))
