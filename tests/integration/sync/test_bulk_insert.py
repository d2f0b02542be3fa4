"""New records written by the page end as new records written by the record do, and never over anybody else's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.items import database_clock
from tds_core.records.apply import apply
from tds_core.records.transform import Provenance, fingerprint
from tds_core.sources.base import ListedRow
from tds_core.sync.bulk_insert import MIN_COPY_ROWS, Creation, PageReader, create, prepare_creation
from tds_core.sync.page_apply import PageDiff, apply_page, diff_page
from tds_core.sync.partial_rows import backfill_rank
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tests.support.world import at, invoice, product

ODD_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["\\N", "\\", '"', "a\tb", "a\nb", "a\rb", "\x1e", "שלום 🚚"]
)
GOOD: Mapping[str, st.SearchStrategy[Any]] = {
    "text": ODD_TEXT | st.integers(0, 3) | st.booleans(),
    "number": st.decimals(0, 5, places=1).map(lambda value: msgspec.Raw(str(value).encode())) | st.just("1,234.50"),
    "integer": st.integers(0, 5),
    "boolean": st.booleans() | st.just("true"),
    "date": st.dates().map(str),
    "instant": st.integers(0, 5).map(lambda second: at(second).isoformat()),
    "reference": st.integers(0, 5) | st.sampled_from(["7", "8"]),
    "json": st.dictionaries(ODD_TEXT, ODD_TEXT, max_size=2) | ODD_TEXT,
    "custom": st.dictionaries(st.sampled_from(["cf_a", "cf_b"]), ODD_TEXT | st.booleans(), max_size=2),
}


def page_of(entity: Entity) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Pages of records, each with some of the declared keys and a few values that cannot be read."""
    fields = {
        field.key: GOOD[field.kind.name] | st.sampled_from([None, "", " ", ["odd"], "9,99"]) for field in entity.fields
    }
    return st.lists(st.fixed_dictionaries({}, optional=fields), min_size=MIN_COPY_ROWS, max_size=MIN_COPY_ROWS)


def numbered(entity: Entity, records: list[dict[str, Any]]) -> dict[str, bytes]:
    stream = entity.stream
    stamped = {stream.modified_key: at(1).isoformat()} if stream.modified_key else {}
    told = {stream.kind[0]: stream.kind[1]} if stream.kind else {}
    return {
        str(n): msgspec.json.encode({**each, **stamped, **told, stream.id_key: str(n)})
        for n, each in enumerate(records)
    }


def seen(entity: str, raws: Mapping[str, bytes], read_at: datetime) -> PageReader:
    hashes = {key: fingerprint(raw) for key, raw in raws.items()}
    return PageReader(ENTITIES[entity], read_at, Provenance("run", 7, "corr"), hashes, {"": frozenset()})


def made(entity: str, raws: Mapping[str, bytes], read_at: datetime) -> Creation:
    creation = prepare_creation(seen(entity, raws, read_at), raws)
    assert creation is not None
    return creation


def written(session: Session, entity: str) -> list[dict[str, Any]]:
    """All rows and all history, but for when and under which number they were written."""
    rows = (
        f"select to_jsonb(r) - 'created_at' - 'changed_at' - 'confirmed_at' as r from erp.{entity} r order by source_id"
    )
    entries = "select to_jsonb(a) - 'id' - 'recorded_at' from tds_audit_trail a order by source_id"
    return [row for statement in (rows, entries) for row in session.execute(text(statement)).scalars()]


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda each: each.name)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=st.data())
def test_a_page_written_at_once_ends_as_its_records_written_one_by_one(
    session: Session, entity: Entity, pages: st.DataObject
) -> None:
    raws = numbered(entity, pages.draw(page_of(entity)))
    creation = made(entity.name, raws, database_clock(session))
    ends = []
    for write in (lambda: create(session, creation), lambda: apply(session, entity, creation.candidates)):
        trial = session.begin_nested()
        assert write()
        ends.append(written(session, entity.name))
        trial.rollback()
    assert ends[0] == ends[1]
    assert len(ends[0]) == 2 * MIN_COPY_ROWS


def products(**more: Any) -> dict[str, bytes]:
    return {str(n): msgspec.json.encode(product(str(n), **more)) for n in range(MIN_COPY_ROWS)}


def listed(session: Session, raws: Mapping[str, bytes], entity: str = "product") -> PageDiff:
    return diff_page(
        session,
        ENTITIES[entity],
        [ListedRow(key, at(0), raw) for key, raw in raws.items()],
        read_at=database_clock(session),
        provenance=Provenance("run", 7, "corr"),
        pending_hashes={},
        thorough=False,
        known_keys={"": frozenset(product()), "lines": frozenset()},
    )


def test_a_record_that_breaks_the_rules_does_not_slow_its_neighbours_down(session: Session) -> None:
    raws = {**products(), "wrong": msgspec.json.encode({**product("wrong"), "item_id": None})}
    prepared = listed(session, raws)
    assert [key for key, _ in prepared.invalid] == ["wrong"]
    assert (len(prepared.creation.source_ids if prepared.creation else ()), prepared.candidates) == (MIN_COPY_ROWS, [])
    counts = apply_page(session, ENTITIES["product"], prepared, correlation_id="corr").counts
    assert counts == {"created": MIN_COPY_ROWS, "invalid": 1, "to_read": MIN_COPY_ROWS}


def test_values_that_cannot_be_read_cost_their_page_nothing_and_are_findings(session: Session) -> None:
    odd = {
        "a": product("a", rate="9,99", name="A"),
        "b": product("b", rate=-1, cf_x="\x00"),
        "c": product("c", description="\x00 by mistake"),
    }
    raws = {**products(), **{key: msgspec.json.encode(each) for key, each in odd.items()}}
    prepared = listed(session, raws)
    assert len(prepared.creation.source_ids if prepared.creation else ()) == MIN_COPY_ROWS + 3
    counts = apply_page(session, ENTITIES["product"], prepared, correlation_id="corr").counts
    assert counts == {"created": MIN_COPY_ROWS + 3, "to_read": MIN_COPY_ROWS + 3}
    kept = session.execute(text("select price::text, name, description from erp.product where source_id in ('a', 'b')"))
    assert [tuple(row) for row in kept] == [(None, "A", None), ("-1", "Item b", None)]
    found = session.execute(text("select kind, subject, detail from tds_findings order by subject"))
    assert [(row.kind, row.subject, row.detail["field"], row.detail["value"]) for row in found] == [
        ("unreadable_value", "a rate", "price", "9,99"),
        ("unreadable_value", "b cf_x", "cf_x", None),
        ("doubted_value", "b rate", "price", "-1"),
        ("unreadable_value", "c description", "description", None),
    ]
    stored = session.execute(text("select source_record ->> 'description' from erp.product where source_id = 'c'"))
    assert stored.scalar_one() is None


def test_records_somebody_created_in_the_meantime_are_decided_anew(session: Session) -> None:
    prepared = listed(session, products(rate=2))
    newer = {f"other {n}": msgspec.json.encode(product(f"other {n}")) for n in range(MIN_COPY_ROWS)}
    newer["0"] = msgspec.json.encode(product("0", second=5, rate=1))
    assert create(session, made("product", newer, database_clock(session)))
    counts = apply_page(session, ENTITIES["product"], prepared, correlation_id="corr").counts
    assert counts == {"created": MIN_COPY_ROWS - 1, "stale": 1, "to_read": MIN_COPY_ROWS}
    assert session.execute(text("select price from erp.product where source_id = '0'")).scalar() == 1


def test_a_record_spelled_over_several_lines_is_kept(session: Session) -> None:
    plain = products(description='a\tb\n"c"\\', cf_a="1", cf_b="")
    spread = {key: msgspec.json.format(raw, indent=2).replace(b"\n", b"\r\n\t") for key, raw in plain.items()}
    assert create(session, made("product", spread, database_clock(session)))
    kept = session.execute(text("select source_record, custom_fields from erp.product where source_id = '3'")).one()
    assert tuple(kept) == (msgspec.json.decode(plain["3"]), {"cf_a": "1"})


def test_documents_with_their_lines_are_not_written_by_the_page(session: Session) -> None:
    whole = {str(n): msgspec.json.encode(invoice(str(n))) for n in range(MIN_COPY_ROWS)}
    assert prepare_creation(seen("invoice", whole, database_clock(session)), whole) is None


def test_headers_are_owed_their_details_in_the_order_in_which_these_are_useful(session: Session) -> None:
    raws = {}
    for n in range(MIN_COPY_ROWS):
        header = invoice(str(n), second=-86400 * n)
        del header["line_items"]
        raws[str(n)] = msgspec.json.encode(header)
    creation = made("invoice", raws, database_clock(session))
    for each in creation.candidates:
        told = {"status": each.values["status"], "modified_at": each.modified_at, "read_at": each.read_at}
        assert creation.ranks[each.source_id] == backfill_rank(ENTITIES["invoice"], **told)


def test_the_first_record_of_a_page_and_those_with_new_keys_are_looked_at_once_more(session: Session) -> None:
    raws = {**products(), "strange": msgspec.json.encode(product("strange", colour="red"))}
    assert [each["item_id"] for each in listed(session, raws).drift_records] == ["0", "strange"]
