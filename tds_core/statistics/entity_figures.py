"""The figures of an entity, declared once: each is a name, a kind and the SQL that measures it over the whole table."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity


class FigureKind(StrEnum):
    """What a figure is, and so how it is written: amounts as text, because floats lose digits."""

    COUNT = "count"
    AMOUNT = "amount"
    MOMENT = "moment"
    SHARE = "share"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `sql`: an expression over the rows of its table."""

    name: str
    kind: FigureKind
    sql: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A figure for each of something: a currency, a place, a price list. `sql`: a query with the columns' names."""

    name: str
    columns: tuple[Figure, ...]
    sql: str


def count(name: str, condition: str, meaning: str = "") -> Figure:
    """A figure that counts living rows for which `condition` holds."""
    return Figure(name, FigureKind.COUNT, f"count(*) filter (where deleted_at is null and ({condition}))", meaning)


def amount(name: str, expression: str, condition: str, meaning: str = "") -> Figure:
    """A figure that adds `expression` over living rows for which `condition` holds; 0 over none."""
    where = f"deleted_at is null and ({condition})"
    return Figure(name, FigureKind.AMOUNT, f"coalesce(sum({expression}) filter (where {where}), 0)::text", meaning)


def _column(name: str, kind: FigureKind = FigureKind.COUNT) -> Figure:
    return Figure(name, kind, f'"{name}"')


_COMMON = (
    count("live_count", "true", "records that are not deleted"),
    Figure("deleted_count", FigureKind.COUNT, "count(deleted_at)", "tombstones"),
    count("unconfirmed_count", "confirmed_at is null", "known from a webhook only"),
    Figure(
        "oldest_confirmed_at", FigureKind.MOMENT, "min(confirmed_at) filter (where deleted_at is null)",
        "when the living record longest not confirmed was confirmed",
    ),
    Figure("newest_modified_at", FigureKind.MOMENT, "max(source_modified_at)", "the newest change at the source"),
    Figure("last_changed_at", FigureKind.MOMENT, "max(changed_at)", "when a row last changed here"),
)  # fmt: skip
_ACTIVE = (
    count("active_count", "status = 'active'"),
    count("inactive_count", "status <> 'active'", "another status; those without any are in neither count"),
)
_STOCK = (
    count("with_stock_count", "stock_on_hand > 0"),
    count("without_stock_count", "stock_on_hand <= 0"),
    count("negative_stock_count", "stock_on_hand < 0"),
    count("untracked_count", "stock_on_hand is null", "products without a stock, such as services"),
    amount("stock_on_hand", "stock_on_hand", "true"),
)
_PRODUCT = (
    *_STOCK,
    amount("stock_value", "stock_on_hand * purchase_price", "stock_on_hand > 0", "at purchase prices"),
    amount("stock_sales_value", "stock_on_hand * price", "stock_on_hand > 0", "at sales prices"),
    count("stock_without_cost_count", "stock_on_hand > 0 and coalesce(purchase_price, 0) = 0",
          "products in stock that add nothing to the value"),
)  # fmt: skip
#: Statuses of documents that nobody has to pay, or not yet.
_NOT_OWED = "'draft', 'void', 'pending_approval', 'rejected'"
_OWED = f"deleted_at is null and balance <> 0 and coalesce(status, '') not in ({_NOT_OWED})"
_CURRENCY = _column("currency", FigureKind.TEXT)


def _outstanding_documents(entity: str) -> Breakdown:
    """What documents still leave to pay, by currency."""
    has_due_date = any(field.name == "due_on" for field in ENTITIES[entity].fields)
    overdue = "due_on < (now() at time zone :zone)::date" if has_due_date else "false"
    columns = (_column("document_count"), _column("outstanding", FigureKind.AMOUNT),
               _column("overdue_count"), _column("overdue", FigureKind.AMOUNT))  # fmt: skip
    query = f"""
        select currency_code as currency, count(*) as document_count, sum(balance)::text as outstanding,
            count(*) filter (where {overdue}) as overdue_count,
            coalesce(sum(balance) filter (where {overdue}), 0)::text as overdue
        from erp.{entity} where {_OWED} group by currency_code"""
    return Breakdown("outstanding", (_CURRENCY, *columns), query)


def _outstanding_contacts(entity: str) -> Breakdown:
    """What contacts owe or are owed, by currency, as the source has it at the contact."""
    columns = (_column("contact_count"), _column("outstanding", FigureKind.AMOUNT),
               _column("unused_credits", FigureKind.AMOUNT))  # fmt: skip
    query = f"""
        select currency_code as currency, count(*) as contact_count,
            coalesce(sum(outstanding), 0)::text as outstanding, coalesce(sum(unused_credits), 0)::text as unused_credits
        from erp.{entity} where deleted_at is null and (outstanding <> 0 or unused_credits <> 0)
        group by currency_code"""
    return Breakdown("outstanding", (_CURRENCY, *columns), query)


_LOCATIONS = Breakdown(
    "locations",
    (_column("location_id", FigureKind.TEXT), _column("location_name", FigureKind.TEXT), _column("product_count"),
     _column("stock_on_hand", FigureKind.AMOUNT), _column("stock_value", FigureKind.AMOUNT)),
    """
        select l.location_id, max(l.location_name) as location_name, count(*) as product_count,
            coalesce(sum(l.stock_on_hand), 0)::text as stock_on_hand,
            coalesce(sum(l.stock_on_hand * p.purchase_price) filter (where l.stock_on_hand > 0), 0)::text as stock_value
        from erp.stock_level s
        join erp.stock_level_location l on l.source = s.source and l.parent_id = s.source_id
        left join erp.product p on p.source = s.source and p.source_id = s.source_id and p.deleted_at is null
        where s.deleted_at is null group by l.location_id""",
)  # fmt: skip
# A product counts once for a list, however many lines of it the list has; deleted and inactive ones do not count.
_COVERAGE = Breakdown(
    "coverage",
    (_column("price_list_id", FigureKind.TEXT), _column("name", FigureKind.TEXT), _CURRENCY,
     _column("status", FigureKind.TEXT), _column("price_count"), _column("priced_product_count"),
     _column("product_count"), _column("share", FigureKind.SHARE)),
    """
        with living as (
            select source, source_id from erp.product
            where deleted_at is null and (status = 'active' or status is null)
        ), prices as (
            select source, parent_id, product_id, count(*) as price_count from erp.price_list_price
            where price is not null group by source, parent_id, product_id
        ), priced as (
            select r.source, r.parent_id, sum(r.price_count)::bigint as price_count,
                count(l.source_id) as priced_product_count
            from prices r left join living l on l.source = r.source and l.source_id = r.product_id
            group by r.source, r.parent_id
        )
        select p.source_id as price_list_id, p.name, p.currency_code as currency, p.status,
            coalesce(c.price_count, 0) as price_count, coalesce(c.priced_product_count, 0) as priced_product_count,
            n.product_count, coalesce(c.priced_product_count, 0)::float8 / nullif(n.product_count, 0) as share
        from erp.price_list p cross join (select count(*) as product_count from living) n
        left join priced c on c.source = p.source and c.parent_id = p.source_id
        where p.deleted_at is null""",
)  # fmt: skip
_UNPRICED = Figure(
    "unpriced_product_count",
    FigureKind.COUNT,
    """(select count(*) from erp.product p where p.deleted_at is null and (p.status = 'active' or p.status is null)
        and not exists (select from erp.price_list_price r join erp.price_list b
            on b.source = r.source and b.source_id = r.parent_id and b.deleted_at is null
            where r.source = p.source and r.product_id = p.source_id and r.price is not null))""",
    "active products without a price on any list",
)
_OWN: Mapping[str, tuple[Figure, ...]] = {
    "product": _PRODUCT,
    "stock_level": _STOCK,
    "price_list": (_UNPRICED,),
}
_BREAKDOWNS: Mapping[str, tuple[Breakdown, ...]] = {
    "customer": (_outstanding_contacts("customer"),),
    "vendor": (_outstanding_contacts("vendor"),),
    "invoice": (_outstanding_documents("invoice"),),
    "bill": (_outstanding_documents("bill"),),
    "credit_note": (_outstanding_documents("credit_note"),),
    "stock_level": (_LOCATIONS,),
    "price_list": (_COVERAGE,),
}
#: Tables that the figures of an entity read beside its own.
OTHER_TABLES: Mapping[str, tuple[str, ...]] = {"stock_level": ("erp.product",), "price_list": ("erp.product",)}


@cache
def figures_of(name: str) -> tuple[Figure, ...]:
    """The figures of an entity: those of all, those that follow from its fields, and its own."""
    entity = ENTITIES[name]
    return (*_COMMON, *_by_declaration(entity), *_OWN.get(name, ()))


def breakdowns_of(name: str) -> tuple[Breakdown, ...]:
    """The breakdowns of an entity."""
    return _BREAKDOWNS.get(name, ())


def _by_declaration(entity: Entity) -> tuple[Figure, ...]:
    details = (count("details_left", "lines_confirmed_at is null", "known by a list row alone"),)
    own: tuple[Figure, ...] = details if entity.header_first else ()
    if entity.closed:
        closed = ", ".join(f"'{status}'" for status in entity.closed)
        return (*own, count("open_count", f"status not in ({closed})"), count("closed_count", f"status in ({closed})"))
    has_status = any(field.name == "status" for field in entity.fields)
    return (*own, *_ACTIVE) if (has_status and not entity.lines) or entity.name == "price_list" else own


def measure(session: Session, name: str, *, zone: str) -> bytes:
    """Measure all figures of an entity. Returns their JSON, as it is stored; `zone` decides what is overdue."""
    return str(session.execute(text(_statement(name)), {"zone": zone}).scalar_one()).encode()


@cache
def _statement(name: str) -> str:
    """One query for all figures of an entity: one pass over its table, and one for each breakdown."""
    parts = [f"'{figure.name}', {figure.sql}" for figure in figures_of(name)]
    parts += [f"'{each.name}', ({_list(each)})" for each in breakdowns_of(name)]
    return f"select jsonb_build_object({', '.join(parts)})::text from {ENTITIES[name].table.fullname}"


def _list(breakdown: Breakdown) -> str:
    first = breakdown.columns[0].name
    return (
        f"select coalesce(jsonb_agg(to_jsonb(each) order by each.{first} nulls last), '[]') from ({breakdown.sql}) each"
    )


def read_figures(name: str, document: bytes) -> dict[str, Any]:
    """The figures of an entity from their JSON, moments as datetimes."""
    figures: dict[str, Any] = msgspec.json.decode(document)
    for figure in figures_of(name):
        if figure.kind is FigureKind.MOMENT and figures.get(figure.name):
            figures[figure.name] = datetime.fromisoformat(figures[figure.name])
    return figures
