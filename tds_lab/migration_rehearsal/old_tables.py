"""Old tables as a cron job of years ago made them: cents, text numbers, letters for states, naive local times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

SCHEMA = "legacy"
ZONE = "Asia/Baghdad"

TABLES = """
create schema legacy;
create table legacy.items (
    id serial primary key, zoho_item_id varchar(30), item_name varchar(100) not null, sku varchar(50),
    rate_cents bigint, stock text, is_active char(1) not null default 'Y', zoho_modified timestamp,
    shelf text, synced_at timestamp not null default now()
);
create index on legacy.items (zoho_item_id);
create table legacy.customers (
    contact_id bigint primary key, full_name varchar(200) not null, state smallint not null default 1,
    zoho_modified timestamp
);
create table legacy.orders (
    so_id text primary key, so_number text, customer bigint, ordered timestamp, total numeric(14,2), stage text,
    is_deleted boolean not null default false, zoho_modified timestamp, salesman_note text
);
create table legacy.order_lines (
    so_id text not null, line_no integer not null, item_id varchar(30), qty numeric(12,3), unit_price numeric(14,2)
);
create index on legacy.order_lines (so_id);
create table legacy.webhook_failures (
    id text primary key, entity text not null, event text not null, payload jsonb not null, error text not null,
    attempts int not null, failed_at timestamptz not null
);
create view legacy.v_low_stock as
    select sku, item_name, stock from legacy.items
    where is_active = 'Y' and replace(stock, ',', '')::numeric < 5;
"""

MAPPING = '''\
[old]
schema = "legacy"
time_zone = "Asia/Baghdad"

[entities.product]
table = "items"
key = "zoho_item_id"

[entities.product.columns]
name = "item_name"
sku = "sku"
price = {column = "rate_cents", as = "cents"}
stock_on_hand = {column = "stock", as = "number"}
status = {column = "is_active", words = {Y = "active", N = "inactive"}}
source_modified_at = "zoho_modified"

[entities.customer]
table = "customers"
key = "contact_id"

[entities.customer.columns]
name = "full_name"
status = {column = "state", words = {1 = "active", 2 = "inactive"}}
source_modified_at = "zoho_modified"

[entities.sales_order]
table = "orders"
key = "so_id"
deleted = "is_deleted"

[entities.sales_order.columns]
number = "so_number"
customer_id = "customer"
ordered_on = "ordered"
total = "total"
status = "stage"
source_modified_at = "zoho_modified"

[entities.sales_order.lines]
table = "order_lines"
parent = "so_id"
order_by = "line_no"

[entities.sales_order.lines.columns]
product_id = "item_id"
quantity = "qty"
rate = "unit_price"

[views.order_lines]
select = """
    select l.parent_id as so_id, l.position + 1 as line_no, l.product_id::varchar(30) as item_id,
           l.quantity::numeric(12,3) as qty, l.rate::numeric(14,2) as unit_price
    from erp.sales_order_line l join erp.sales_order o on o.source = l.source and o.source_id = l.parent_id
    where o.deleted_at is null"""

# For queries that operators saved: with `set search_path = legacy, public` they find this one first.
[views.tds_sync_queue]
select = """
    select id, entity, source_id, priority, attempts, next_attempt_at, created_at,
           case when lease_token is not null then 'processing' when attempts > 0 or snoozes > 0 then 'retry'
                else 'pending' end as status
    from public.tds_sync_queue"""
'''

#: The stand-in's collections that the old job copied, by entity.
PLURALS = {"product": "items", "customer": "contacts", "sales_order": "salesorders"}
_COLUMNS = {
    "product": ("items", "zoho_item_id", "item_name sku rate_cents stock is_active zoho_modified"),
    "customer": ("customers", "contact_id", "full_name state zoho_modified"),
    "sales_order": ("orders", "so_id", "so_number customer ordered total stage zoho_modified"),
}


def create_tables(connection: Connection) -> None:
    """Make the schema with its tables and its view."""
    connection.exec_driver_sql(TABLES)


def local_time(moment: str | None) -> datetime | None:
    """A moment of Zoho's as the job wrote it: local, and without its zone."""
    return datetime.fromisoformat(moment).astimezone(ZoneInfo(ZONE)).replace(tzinfo=None) if moment else None


def _item(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "zoho_item_id": record["item_id"], "item_name": record["name"][:100], "sku": record.get("sku"),
        "rate_cents": round(Decimal(str(record["rate"])) * 100),
        "stock": None if record.get("stock_on_hand") is None else f"{Decimal(str(record['stock_on_hand'])):,}",
        "is_active": "Y" if record["status"] == "active" else "N",
        "zoho_modified": local_time(record.get("last_modified_time")),
    }  # fmt: skip


def _customer(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "contact_id": int(record["contact_id"]), "full_name": record["contact_name"][:200],
        "state": 1 if record["status"] == "active" else 2,
        "zoho_modified": local_time(record.get("last_modified_time")),
    }  # fmt: skip


def _order(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "so_id": record["salesorder_id"], "so_number": record["salesorder_number"],
        "customer": int(record["customer_id"]),
        "ordered": datetime.fromisoformat(record["date"]), "total": Decimal(str(record["total"])),
        "stage": record["status"],
        "zoho_modified": local_time(record.get("last_modified_time")),
    }  # fmt: skip


_FORGET_LINES = text("delete from legacy.order_lines where so_id = :so_id")
_ADD_LINE = text("insert into legacy.order_lines values (:so_id, :line_no, :item_id, :qty, :unit_price)")
_LINES = text("select * from legacy.order_lines order by so_id, line_no")


_ROWS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "product": _item, "customer": _customer, "sales_order": _order,
}  # fmt: skip


def is_copied(entity: str, record: Mapping[str, Any]) -> bool:
    """Whether the job took a record: contacts only where they are customers."""
    return entity != "customer" or record.get("contact_type") == "customer"


def write_records(connection: Connection, entity: str, records: Sequence[Mapping[str, Any]]) -> int:
    """Write records of Zoho's into an old table, each with a statement of its own. Returns how many."""
    table, key, names = _COLUMNS[entity]
    columns = [key, *names.split()]
    rows = [_ROWS[entity](record) for record in records if is_copied(entity, record)]
    if not rows:
        return 0
    assigned = ", ".join(f"{name} = :{name}" for name in columns[1:])
    update = text(f"update {SCHEMA}.{table} set {assigned} where {key} = :{key}")
    insert = text(f"insert into {SCHEMA}.{table} ({', '.join(columns)}) values ({', '.join(f':{n}' for n in columns)})")
    for row in rows:
        if not getattr(connection.execute(update, row), "rowcount", 0):
            connection.execute(insert, row)
    if entity == "sales_order":
        _write_lines(connection, records)
    return len(rows)


def _write_lines(connection: Connection, records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        connection.execute(_FORGET_LINES, {"so_id": record["salesorder_id"]})
        for row in _lines(record):
            connection.execute(_ADD_LINE, row)


def _lines(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "so_id": record["salesorder_id"], "line_no": number, "item_id": line["item_id"],
            "qty": Decimal(str(line["quantity"])), "unit_price": Decimal(str(line["rate"])),
        }
        for number, line in enumerate(record["line_items"], 1)
    ]  # fmt: skip


def wrong_rows(connection: Connection, entity: str, records: Sequence[Mapping[str, Any]]) -> tuple[int, list[Any]]:
    """How many rows stand under an old name, and the keys of those that are not what Zoho has, on either side.

    An order's lines count as part of it.
    """
    table, key, names = _COLUMNS[entity]
    columns = [key, *names.split()]
    found = connection.execute(text(f"select {', '.join(columns)} from {SCHEMA}.{table}")).mappings()
    here: dict[Any, dict[str, Any]] = {row[key]: {name: _plain(name, row[name]) for name in columns} for row in found}
    rows = [_ROWS[entity](record) for record in records if is_copied(entity, record)]
    there = {row[key]: {name: _plain(name, row[name]) for name in columns} for row in rows}
    if entity == "sales_order":
        for line in connection.execute(_LINES).mappings():
            here.setdefault(line["so_id"], {}).setdefault("lines", []).append(dict(line))
        for record in records:
            there[record["salesorder_id"]]["lines"] = _lines(record)
    return len(here), sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))


def _plain(name: str, value: Any) -> Any:
    """A value of which spelling and scale do not matter: numbers that are text have commas or none."""
    return Decimal(value.replace(",", "")) if name == "stock" and value is not None else value
