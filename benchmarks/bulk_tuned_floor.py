"""The least that bringing a wide list over with its history takes, tuned until it got no faster.

Hashes of all rows are known from one query; pages come over four connections ahead of the reader; a row is hashed
before it is parsed, and only a changed one is. Changed rows go by one COPY into a temporary table while pages still
come; then one statement writes the history, one the rows, in one transaction. The raw record is kept as jsonb, as TDS
keeps it.
No guard against older records, no resumption, no deletions, no queue, no findings.
"""

import http.client
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from queue import Queue
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import psycopg2

from benchmarks.list_server import PAGE
from benchmarks.peak_memory import peak_mb
from tds_core.database_urls import without_driver

CONNECTIONS = 4
NUMBERS = ("rate", "tax_percentage", "purchase_rate", "stock_on_hand", "available_stock", "actual_available_stock")
FLAGS = ("is_combo_product", "can_be_sold", "can_be_purchased", "track_inventory", "has_attachment", "is_returnable")
TEXTS = (
    "name", "item_name", "category_id", "category_name", "unit", "status", "source", "zcrm_product_id", "description",
    "brand", "manufacturer", "tax_id", "tax_name", "purchase_account_id", "purchase_account_name", "account_id",
    "account_name", "purchase_description", "item_type", "product_type", "sku", "upc", "ean", "isbn", "part_number",
    "reorder_level", "hsn_or_sac", "image_name",
)  # fmt: skip
MOMENTS = ("created_time", "last_modified_time")
TYPES = {
    "item_id": "text", **dict.fromkeys(TEXTS, "text"), **dict.fromkeys(NUMBERS, "numeric"),
    **dict.fromkeys(FLAGS, "boolean"), **dict.fromkeys(MOMENTS, "timestamptz"), "custom_fields": "jsonb",
}  # fmt: skip
COLUMNS = (*TYPES, "hash", "record")
_DECLARED = ", ".join(f"{name} {kind}" for name, kind in {**TYPES, "hash": "bytea", "record": "jsonb"}.items())
TABLES = f"""
create table if not exists item ({_DECLARED}, primary key (item_id));
create table if not exists history (id bigint generated always as identity primary key, item_id text not null,
    operation text not null, changed_at timestamptz not null default now(), changes jsonb not null);
create temp table page ({_DECLARED}) on commit delete rows;
"""
HISTORY = """
insert into history (item_id, operation, changes)
select p.item_id, case when t.item_id is null then 'created' else 'updated' end,
    case when t.item_id is null then to_jsonb(p) - 'record' - 'hash' else (
        select jsonb_object_agg(n.key, jsonb_build_array(o.value, n.value))
        from jsonb_each(to_jsonb(p) - 'record' - 'hash') n join jsonb_each(to_jsonb(t)) o using (key)
        where n.value is distinct from o.value) end
from page p left join item t using (item_id)
"""
UPSERT = f"""
insert into item as t ({", ".join(COLUMNS)}) select {", ".join(COLUMNS)} from page
on conflict (item_id) do update set {", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])}
"""

#: What gives the pages of the list at an address: all, or those of what changed since a time.
Pages = Callable[[str, str | None], Iterator[list[Any]]]
Listing = msgspec.defstruct("Listing", [("items", list[msgspec.Raw]), ("page_context", dict[str, Any])])
decode_page = msgspec.json.Decoder(Listing).decode
decode_row = msgspec.json.Decoder(dict[str, Any]).decode
decode_id = msgspec.json.Decoder(msgspec.defstruct("Head", [("item_id", str)])).decode


class Lines:
    """What COPY reads: the lines of the changed rows, made while it reads them."""

    def __init__(self, pages: Iterator[list[Any]], known: dict[str, bytes]) -> None:
        self._pages, self._known, self._rest = pages, known, b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end."""
        while len(self._rest) < size:
            rows = next(self._pages, None)
            if rows is None:
                break
            self._rest += "".join(filter(None, map(self._line, rows))).encode()
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _line(self, raw: Any) -> str:
        digest = sha256(raw).digest()
        if self._known and self._known.get(decode_id(raw).item_id) == digest:
            return ""
        found = decode_row(raw)
        values = [found.get(name) for name in TYPES]
        values[-1] = json.dumps(found["custom_fields"])
        return "\t".join(map(_spelled, (*values, "\\x" + digest.hex(), bytes(raw).decode()))) + "\n"


def _spelled(value: Any) -> str:
    if value is None:
        return r"\N"
    if value.__class__ is not str:
        return str(value)
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    return value.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") if not value.isprintable() else value


def pages_ahead(url: str, since: str | None) -> Iterator[list[Any]]:
    """The pages of the list in their order, fetched by several connections ahead of who reads them."""
    address = urlsplit(url)
    filtered = f"&last_modified_time={quote(since)}" if since else ""
    waiting: list[Queue[bytes]] = [Queue(2) for _ in range(CONNECTIONS)]
    ended = threading.Event()

    def fetch(place: int) -> None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port)
        for page in itertools.count(place + 1, CONNECTIONS):
            if ended.is_set():
                return
            connection.request("GET", f"/inventory/v1/items?page={page}&per_page={PAGE}{filtered}")
            waiting[place].put(connection.getresponse().read())

    for place in range(CONNECTIONS):
        threading.Thread(target=fetch, args=(place,), daemon=True).start()
    for number in itertools.count():
        listing = decode_page(waiting[number % CONNECTIONS].get())
        yield listing.items
        if not listing.page_context["has_more_page"]:
            ended.set()
            return


def bring_over(connection: Any, url: str, *, changed_only: bool, schema: str, pages_of: Pages) -> None:
    """Bring the list over into `schema`: all of it, or what changed since the newest row there."""
    with connection.cursor() as cursor:
        cursor.execute(f"create schema if not exists {schema}; set search_path = {schema}")
        cursor.execute(TABLES)
        cursor.execute("select record ->> 'last_modified_time' from item order by last_modified_time desc limit 1")
        newest = cursor.fetchone()
        cursor.execute("select item_id, hash from item")
        known = {item_id: bytes(value) for item_id, value in cursor} if not changed_only else {}
        pages = pages_of(url, newest[0] if changed_only and newest else None)
        cursor.copy_expert(f"copy page ({', '.join(COLUMNS)}) from stdin", Lines(pages, known), 1 << 20)
        if changed_only:
            cursor.execute("delete from page p using item t where t.item_id = p.item_id and t.hash = p.hash")
        cursor.execute(HISTORY)
        cursor.execute(UPSERT)
    connection.commit()


def main(schema: str = "floor", pages_of: Pages = pages_ahead) -> None:
    """`python -m benchmarks.bulk_tuned_floor full|incremental`, with the server's line of JSON in ZOHO."""
    connection = psycopg2.connect(without_driver(os.environ["TDS_DATABASE_URL"]))
    start = time.perf_counter()
    url, changed_only = json.loads(os.environ["ZOHO"])["url"], sys.argv[1] == "incremental"
    bring_over(connection, url, changed_only=changed_only, schema=schema, pages_of=pages_of)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
