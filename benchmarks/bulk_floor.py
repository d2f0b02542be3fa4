"""The least a mirror can do to bring a list over: what TDS is held against."""

import io
import time
from hashlib import blake2b
from typing import Any

import msgspec
import requests

TEXT = ("name", "sku", "status", "description", "unit", "product_type", "item_type", "brand", "manufacturer")
MORE = ("category_id", "category_name", "tax_id", "upc", "ean", "part_number", "created_time", "last_modified_time")
NUMBERS = ("rate", "purchase_rate", "tax_percentage", "stock_on_hand", "available_stock", "actual_available_stock")
COLUMNS = (*TEXT, *MORE, *NUMBERS)

TABLES = f"""
drop schema if exists floor cascade;
create schema floor;
create table floor.item (item_id text primary key, hash bytea not null, record jsonb not null,
    {", ".join(f"{name} text" for name in (*TEXT, *MORE))}, {", ".join(f"{name} numeric" for name in NUMBERS)});
create table floor.history (id bigint generated always as identity primary key, item_id text, record jsonb,
    at timestamptz default now());
create temp table if not exists page (like floor.item);
"""

MERGE = f"""
with changed as (
    insert into floor.item as t select * from page
    on conflict (item_id) do update set hash = excluded.hash, record = excluded.record,
        {", ".join(f"{name} = excluded.{name}" for name in COLUMNS)}
    where t.hash is distinct from excluded.hash returning item_id, record
)
insert into floor.history (item_id, record) select item_id, record from changed
"""

Listing = msgspec.defstruct("Listing", [("items", list[msgspec.Raw]), ("page_context", dict[str, Any])])
decode_page = msgspec.json.Decoder(Listing).decode
decode_row = msgspec.json.Decoder(dict[str, Any]).decode


def load(connection: Any, zoho: dict[str, str]) -> float:
    """Bring all items over; the first call makes the tables. Returns the seconds it took."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('floor.item')")
        if cursor.fetchone()[0] is None:
            cursor.execute(TABLES)
    session = requests.Session()
    session.headers["Authorization"] = f"Zoho-oauthtoken {_token(zoho)}"
    start, page, more = time.perf_counter(), 1, True
    connection.autocommit = False
    while more:
        parameters = {"organization_id": zoho["organization_id"], "page": page, "per_page": 200}
        answer = session.get(f"{zoho['url']}/inventory/v1/items", params=parameters, timeout=30)
        listing = decode_page(answer.content)
        _write(connection, listing.items)
        more, page = listing.page_context["has_more_page"], page + 1
    connection.autocommit = True
    return time.perf_counter() - start


def _write(connection: Any, rows: list[Any]) -> None:
    lines = []
    for raw in rows:
        record = decode_row(raw)
        values = [record["item_id"], "\\x" + blake2b(raw, digest_size=16).hexdigest(), bytes(raw).decode()]
        values += [record.get(name) for name in COLUMNS]
        lines.append("\t".join(map(_spelled, values)))
    with connection.cursor() as cursor:
        cursor.execute("set local synchronous_commit = off")  # as TDS does for pages
        cursor.execute("truncate page")
        cursor.copy_expert("copy page from stdin", io.StringIO("\n".join(lines) + "\n"))
        cursor.execute(MERGE)
    connection.commit()


def _spelled(value: Any) -> str:
    if value is None:
        return r"\N"
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _token(zoho: dict[str, str]) -> str:
    form = {"grant_type": "refresh_token", **{k: zoho[k] for k in ("client_id", "client_secret", "refresh_token")}}
    return str(requests.post(f"{zoho['url']}/oauth/v2/token", data=form, timeout=10).json()["access_token"])
