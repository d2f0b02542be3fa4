"""A mapping file that is wrong says where, and what would be right."""

import re
from pathlib import Path

import pytest

from tds_core.cutover.mapping import Conversion, MappingError, load_mapping, parse_mapping

GOOD = """
[old]
schema = "legacy"
time_zone = "Asia/Baghdad"

[entities.product]
table = "items"
key = "zoho_id"
only = {status = ["active"]}

[entities.product.columns]
name = "title"
price = {column = "cents", as = "cents"}
status = {column = "state", words = {1 = "active", 0 = "inactive"}}
source_modified_at = {column = "changed", time_zone = "UTC"}

[views.order_lines]
select = "select * from erp.sales_order_line;"
"""


def test_a_mapping_is_read() -> None:
    mapping = parse_mapping(GOOD)
    product = mapping.entities["product"]
    assert (product.schema, product.table, product.key) == ("legacy", "items", "zoho_id")
    by_field = {each.field.name: each for each in product.columns}
    assert by_field["price"].conversion is Conversion.CENTS
    assert by_field["status"].words == {"1": "active", "0": "inactive"}
    assert (by_field["name"].time_zone, by_field["source_modified_at"].time_zone) == ("Asia/Baghdad", "UTC")
    assert [each.field.name for each in product.compared] == ["name", "price", "status"]
    assert mapping.views == {"order_lines": "select * from erp.sales_order_line"}
    assert mapping.digest != parse_mapping(GOOD + "\n# another").digest


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("entities.product", "entities.prodct", "entities.prodct: TDS mirrors nothing called 'prodct'"),
        (
            'name = "title"',
            'nmae = "title"',
            "entities.product.columns.nmae: product has no field 'nmae'. Fields: name",
        ),
        ('name = "title"', "name = 3", "entities.*columns.*: expected"),
        ('table = "items"', "", "it missing required field `table`"),
        ('table = "items"', 'table = ""', "length >= 1"),
        ('table = "items"', 'tabel = "items"', "there is no such setting: `tabel`"),
        ('as = "cents"', 'as = "pence"', "invalid enum value 'pence'"),
        ('as = "cents"', 'as = "cents", words = {1 = "x"}', 'it has both "as" and "words"'),
        ('as = "cents"', 'words = {1 = "x"}', "words are for fields that are text or boolean; price is a number"),
        ('name = "title"', 'custom_fields = "title"', "a field of kind custom is not compared"),
        ('name = "title"', 'is_combo_product = {column = "c", words = {x = "maybe"}}', "'maybe' is neither true nor"),
        ('"Asia/Baghdad"', '"Asia/Bagdad"', "old.time_zone: 'Asia/Bagdad' is no time zone"),
        ('time_zone = "UTC"', 'time_zone = "X/Y"', "columns.source_modified_at.time_zone: 'X/Y'"),
        ("only = {status", "only = {price", "entities.product.only.price: only fields that are text"),
        ('schema = "legacy"', 'schema = "legacy', "it is no TOML"),
    ],
)
def test_what_is_wrong_is_named(before: str, after: str, said: str) -> None:
    assert before in GOOD
    with pytest.raises(MappingError) as raised:
        parse_mapping(GOOD.replace(before, after))
    assert all(part in str(raised.value) for part in said.split("*"))


LINES = """
[entities.invoice]
table = "invoices"
key = "id"
[entities.invoice.columns]
total = "total"
[entities.invoice.lines]
table = "invoice_rows"
parent = "invoice_id"
order_by = "no"
[entities.invoice.lines.columns]
quantity = {column = "qty", as = "number"}
"""


def test_lines_of_a_document_are_mapped() -> None:
    lines = parse_mapping(LINES).entities["invoice"].lines
    assert lines is not None
    assert (lines.table, lines.parent, lines.order_by, lines.key) == ("invoice_rows", "invoice_id", "no", None)
    assert (lines.name, lines.here) == ("lines", "erp.invoice_line")
    assert [(each.field.name, each.conversion) for each in lines.columns] == [("quantity", Conversion.NUMBER)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('order_by = "no"', "", "entities.invoice.lines: say how lines are told apart"),
        ('order_by = "no"', 'order_by = "no"\nkey = "id"', "entities.invoice.lines: say how lines are told apart"),
        ("quantity =", "qty =", "entities.invoice.lines.columns.qty: invoice.lines has no field 'qty'"),
        ('quantity = {column = "qty", as = "number"}', "", "entities.invoice.lines.columns: no field is compared"),
        ("total =", "totl =", "entities.invoice.columns.totl: invoice has no field 'totl'"),
    ],
)
def test_what_is_wrong_about_lines_is_named(before: str, after: str, said: str) -> None:
    with pytest.raises(MappingError, match=re.escape(said)):
        parse_mapping(LINES.replace(before, after))


def test_what_has_no_lines_maps_none() -> None:
    text = LINES.replace("invoice.", "product.").replace("[entities.invoice]", "[entities.product]")
    with pytest.raises(MappingError, match=r"entities.product.lines: a product has no lines"):
        parse_mapping(text.replace("total =", "name ="))


def test_an_old_name_is_taken_once() -> None:
    other = '[entities.{}]\ntable = "items"\nkey = "k"\n[entities.{}.columns]\nname = "n"\n[views'
    with pytest.raises(MappingError, match=r"entities.category.table: entities.product.table has the name items"):
        parse_mapping(GOOD.replace("[views", other.format("category", "category")))
    with pytest.raises(MappingError, match=r"views.items: entities.product.table has the name items as well"):
        parse_mapping(GOOD.replace("[views.order_lines]", "[views.items]"))
    with pytest.raises(MappingError, match=r"it is no TOML: Cannot declare"):
        parse_mapping(f"{GOOD}\n[entities.product]")


def test_a_mapping_without_entities_or_fields_is_refused() -> None:
    with pytest.raises(MappingError, match="it maps no entity"):
        parse_mapping("[entities]")
    with pytest.raises(MappingError, match="no field is compared"):
        parse_mapping('[entities.product]\ntable = "a"\nkey = "b"\ncolumns = {source_modified_at = "c"}')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"none.toml cannot be read: No such file"):
        load_mapping(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(MappingError, match="no text in UTF-8"):
        load_mapping(tmp_path / "binary.toml")
    (tmp_path / "x.toml").write_text("[entities]")
    with pytest.raises(MappingError, match=r"x.toml: entities: it maps no entity"):
        load_mapping(tmp_path / "x.toml")
