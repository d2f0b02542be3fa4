"""The least a mirror can do to bring a list over: what TDS is held against.

Tuned, and no more than that: one page is fetched while the one before it is written; rows are hashed before they are
parsed, and only those whose hash the table lacks are parsed, COPYed into a temporary table and upserted, one
transaction a page. No history, no guard against older records, no field diff, no queue, no resumption, no deletions.
"""

import io
import json
import os
import sys
import time
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec
import psycopg2
import requests

from benchmarks.peak_memory import peak_mb
from tds_core.database_urls import without_driver
from tds_tasks.page_fetch import prefetch

TEXT = ("name", "sku", "status", "description", "unit", "product_type", "item_type", "brand", "manufacturer")
MORE = ("category_id", "category_name", "tax_id", "upc", "ean", "part_number", "created_time", "last_modified_time")
NUMBERS = ("rate", "purchase_rate", "tax_percentage", "stock_on_hand", "available_stock", "actual_available_stock")
COLUMNS = (*TEXT, *MORE, *NUMBERS)

TABLES = f"""
create schema if not exists floor;
create table if not exists floor.item (item_id text primary key, hash bytea not null, record jsonb not null,
    {", ".join(f"{name} text" for name in (*TEXT, *MORE))}, {", ".join(f"{name} numeric" for name in NUMBERS)});
create temp table page (like floor.item);
"""

UPSERT = f"""
insert into floor.item as t select * from page
on conflict (item_id) do update set hash = excluded.hash, record = excluded.record,
    {", ".join(f"{name} = excluded.{name}" for name in COLUMNS)}
"""

Listing = msgspec.defstruct("Listing", [("items", list[msgspec.Raw]), ("page_context", dict[str, Any])])
decode_page = msgspec.json.Decoder(Listing).decode
decode_row = msgspec.json.Decoder(dict[str, Any]).decode
decode_id = msgspec.json.Decoder(msgspec.defstruct("Head", [("item_id", str)])).decode


def bring_over(connection: Any, zoho: dict[str, str], *, changed_only: bool) -> None:
    """Bring the items over: all of them, or those changed since the newest one there."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        cursor.execute("select max(last_modified_time) from floor.item")
        since = cursor.fetchone()[0] if changed_only else None
    connection.commit()
    with prefetch(_pages(zoho, since)) as pages:
        for rows in pages:
            _write(connection, rows)


def _pages(zoho: dict[str, str], since: str | None) -> Iterator[list[Any]]:
    session = requests.Session()
    session.headers["Authorization"] = f"Zoho-oauthtoken {access_token(zoho)}"
    asked = {"organization_id": zoho["organization_id"], "per_page": 200, "filter_by": "Status.All"}
    page, more = 1, True
    while more:
        parameters = {**asked, "page": page, **({"last_modified_time": since} if since else {})}
        answer = session.get(f"{zoho['url']}/inventory/v1/items", params=parameters, timeout=30)
        listing = decode_page(answer.content)
        yield listing.items
        more, page = listing.page_context["has_more_page"], page + 1


def _write(connection: Any, rows: list[Any]) -> None:
    hashes = {decode_id(raw).item_id: (blake2b(raw, digest_size=16).digest(), raw) for raw in rows}
    with connection.cursor() as cursor:
        cursor.execute("set local synchronous_commit = off")  # as TDS does for pages
        cursor.execute("select item_id, hash from floor.item where item_id = any(%s)", (list(hashes),))
        known = {item_id: bytes(value) for item_id, value in cursor}
        lines = [_line(key, value, raw) for key, (value, raw) in hashes.items() if known.get(key) != value]
        if lines:
            cursor.execute("truncate page")
            cursor.copy_expert("copy page from stdin", io.StringIO("".join(lines)))
            cursor.execute(UPSERT)
    connection.commit()


def _line(item_id: str, value: bytes, raw: Any) -> str:
    record = decode_row(raw)
    values = [item_id, "\\x" + value.hex(), bytes(raw).decode(), *(record.get(name) for name in COLUMNS)]
    return "\t".join(map(_spelled, values)) + "\n"


def _spelled(value: Any) -> str:
    if value is None:
        return r"\N"
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def access_token(zoho: dict[str, str]) -> str:
    """A token of the stand-in."""
    form = {"grant_type": "refresh_token", **{k: zoho[k] for k in ("client_id", "client_secret", "refresh_token")}}
    return str(requests.post(f"{zoho['url']}/oauth/v2/token", data=form, timeout=10).json()["access_token"])


def main() -> None:
    """`python -m benchmarks.bulk_floor full|incremental`, with the stand-in's line of JSON in ZOHO."""
    connection = psycopg2.connect(without_driver(os.environ["TDS_DATABASE_URL"]))
    start = time.perf_counter()
    bring_over(connection, json.loads(os.environ["ZOHO"]), changed_only=sys.argv[1] == "incremental")
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
