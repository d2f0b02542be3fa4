"""Each spelling of an old column becomes our value, and ours becomes the old spelling again."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tds_core.cutover.conversions import ColumnType, column_sql, key_sql
from tds_core.cutover.mapping import MappedColumn, MappingError, parse_mapping
from tds_core.cutover.sql_names import literal, quoted, run

TEXT = ColumnType("text", "text")
NOON = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)  # twelve in Baghdad


def mapped(field: str, line: str, entity: str = "product") -> MappedColumn:
    text = f'[old]\ntime_zone = "Asia/Baghdad"\n[entities.{entity}]\ntable = "t"\nkey = "k"\n'
    mapping = parse_mapping(f"{text}[entities.{entity}.columns]\n{field} = {line}")
    [column] = mapping.entities[entity].columns
    return column


@pytest.mark.parametrize(
    "case",
    [
        ("name", '"c"', ("text", "text"), "'  Rug '", "Rug", "Rug"),
        ("name", '"c"', ("text", "text"), "'   '", None, None),
        ("name", '"c"', ("character varying(4)", "text"), "'Carpet'", "Carp", "Carp"),
        ("name", '"c"', ("integer", "number"), "7", "7", 7),
        ("price", '"c"', ("numeric(10,2)", "number"), "12.5", Decimal("12.5"), Decimal("12.50")),
        ("price", '"c"', ("double precision", "number"), "0.1", Decimal("0.1"), 0.1),
        ("price", '{column = "c", as = "number"}', ("text", "text"), "' 1,250.50'", Decimal("1250.50"), "1250.5"),
        ("price", '{column = "c", as = "number"}', ("text", "text"), "'about 5'", None, None),
        ("price", '{column = "c", as = "number"}', ("text", "text"), "'-3'", Decimal(-3), "-3"),
        ("price", '{column = "c", as = "cents"}', ("bigint", "number"), "1999", Decimal("19.99"), 1999),
        ("price", '{column = "c", as = "cents"}', ("text", "text"), "'1,999'", Decimal("19.99"), "1999"),
        ("is_combo_product", '"c"', ("boolean", "boolean"), "true", True, True),
        ("is_combo_product", '"c"', ("smallint", "number"), "2", True, 1),
        ("is_combo_product", '{column = "c", as = "boolean"}', ("text", "text"), "'Yes'", True, "true"),
        ("is_combo_product", '{column = "c", as = "boolean"}', ("text", "text"), "'perhaps'", None, None),
        ("is_combo_product", '{column = "c", words = {J = "true", N = "false"}}', ("text", "text"), "'N'", False, "N"),
        ("is_combo_product", '{column = "c", words = {J = "true"}}', ("text", "text"), "'?'", None, None),
        ("status", '{column = "c", words = {1 = "active", 0 = "off"}}', ("smallint", "number"), "0", "off", 0),
        ("status", '{column = "c", words = {A = "active"}}', ("text", "text"), "'other'", "other", "other"),
        ("source_created_at", '"c"', ("timestamp without time zone", "naive"), "'2026-11-29 12:00'", NOON,
         datetime(2026, 11, 29, 12, 0)),
        ("source_created_at", '"c"', ("timestamp with time zone", "instant"), "'2026-11-29 10:00+01'", NOON, NOON),
        ("source_created_at", '{column = "c", as = "time"}', ("text", "text"), "'2026-11-29T12:00'", NOON,
         "2026-11-29T12:00:00"),
        ("source_created_at", '{column = "c", as = "time"}', ("text", "text"), "'2026-11-29 09:00:00Z'", NOON,
         "2026-11-29T12:00:00"),
        ("source_created_at", '{column = "c", as = "time"}', ("text", "text"), "'today'", None, None),
        ("source_created_at", '{column = "c", as = "epoch"}', ("bigint", "number"), str(int(NOON.timestamp())), NOON,
         int(NOON.timestamp())),
    ],
)  # fmt: skip
def test_a_value_there_is_a_value_here_and_there_again(
    session: Session, case: tuple[str, str, tuple[str, str], str, Any, Any]
) -> None:
    field, line, column_type, old, ours, again = case
    column = column_sql(mapped(field, line), ColumnType(*column_type), place="entities.product")
    there = f"({old})::{column_type[0]}"
    assert run(session, f"select {column.ours(there)}").scalar_one() == ours
    assert run(session, f"select {column.theirs(column.ours(there))}").scalar_one() == again
    assert run(session, f"select {column.round_trip(column.ours(there))}").scalar_one() == ours


@pytest.mark.parametrize(
    ("line", "column_type", "old"),
    [
        ('"c"', ("date", "date"), "'2026-11-29'"),
        ('"c"', ("timestamp without time zone", "naive"), "'2026-11-29 23:59'"),
        ('"c"', ("timestamp with time zone", "instant"), "'2026-11-28 22:00Z'"),
        ('{column = "c", as = "date"}', ("text", "text"), "'2026-11-29T10:00'"),
        ('{column = "c", as = "date"}', ("text", "text"), "' 2026-11-29'"),
    ],
)
def test_a_day_is_the_day_of_the_old_time_zone(
    session: Session, line: str, column_type: tuple[str, str], old: str
) -> None:
    column = column_sql(mapped("ordered_on", line, "sales_order"), ColumnType(*column_type), place="x")
    there = column.ours(f"({old})::{column_type[0]}")
    assert run(session, f"select {there}, {column.round_trip(there)}").one() == (date(2026, 11, 29),) * 2


@pytest.mark.parametrize("old", ["0000-00-00", "2026-06-31", "2026-13-01", "2026-02-30", "29.11.2026", "2026-11-291"])
def test_a_day_that_is_none_is_no_value(session: Session, old: str) -> None:
    day = column_sql(mapped("ordered_on", '{column = "c", as = "date"}', "sales_order"), TEXT, place="x")
    time = column_sql(mapped("source_created_at", '{column = "c", as = "time"}'), TEXT, place="x")
    spelled = [f"{literal(each)}::text" for each in (old, f"{old} 10:00", "2026-11-29 24:61")]
    found = [day.ours(spelled[0]), *(time.ours(each) for each in spelled[1:])]
    assert run(session, f"select {', '.join(found)}").one() == (None, None, None)


def test_a_day_in_a_text_is_spelled_alike_whatever_a_session_is_used_to(session: Session) -> None:
    column = column_sql(mapped("ordered_on", '{column = "c", as = "date"}', "sales_order"), TEXT, place="x")
    run(session, "set local datestyle = 'German'")
    assert run(session, f"select {column.theirs('date ' + literal('2026-11-29'))}").scalar_one() == "2026-11-29"


@pytest.mark.parametrize(
    ("field", "line", "column_type", "said"),
    [
        ("price", '"c"', ("text", "text"), 'as = "number or cents"'),
        ("price", '"c"', ("boolean", "boolean"), "TDS has no conversion between them"),
        ("price", '{column = "c", as = "time"}', ("text", "text"), 'as = "time" does not lead'),
        ("name", '"c"', ("timestamp with time zone", "instant"), "no conversion"),
        ("source_created_at", '"c"', ("bigint", "number"), 'as = "epoch"'),
        ("source_created_at", '"c"', ("date", "date"), "no conversion"),
        ("is_combo_product", '"c"', ("text", "text"), 'as = "boolean"'),
    ],
)
def test_types_that_lead_nowhere_are_refused_with_advice(
    field: str, line: str, column_type: tuple[str, str], said: str
) -> None:
    with pytest.raises(MappingError) as raised:
        column_sql(mapped(field, line), ColumnType(*column_type), place="entities.product")
    assert str(raised.value).startswith(f"entities.product.columns.{field}: the old column c is {column_type[0]}")
    assert said in str(raised.value)


@pytest.mark.parametrize("value", ["it's", "a\\b", "100%", ":name", 'say "x"', "سلوى"])
def test_words_and_names_are_spelled_so_that_sql_reads_them_as_they_are(session: Session, value: str) -> None:
    assert run(session, f"select {literal(value)}").scalar_one() == value
    assert run(session, f"select 1 as {quoted(value)}").mappings().one() == {value: 1}


def test_a_key_is_text_and_blank_is_none(session: Session) -> None:
    keys = [key_sql("7", "number"), key_sql(literal(" 8 "), "text"), key_sql(literal(" "), "text"),
            key_sql("9.00", "number"), key_sql(literal("9" * 65), "text")]  # fmt: skip
    assert run(session, f"select {', '.join(keys)}").one() == ("7", "8", None, "9", None)
