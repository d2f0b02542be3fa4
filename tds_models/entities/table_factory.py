"""The columns shared by all mirror tables: key, declared fields, the source record, and the state of the row."""

from typing import Any

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from tds_models.base import Instant, mirror_metadata
from tds_models.entities.fields import Field, Filter


def mirror_table(name: str, fields: tuple[Field, ...], *, header_first: bool = False) -> Table:
    """`erp.<name>`: one row per record, keyed by source and source id; deleted records stay as tombstones.

    `header_first`: a row may hold its list row only; then `lines_confirmed_at` is null.
    """
    return Table(
        name,
        mirror_metadata,
        Column("source", Text, primary_key=True),
        Column("source_id", Text, primary_key=True),
        *(Column(field.name, field.kind.column) for field in fields),
        *_sync_columns(),
        *([_lines_confirmed_at()] if header_first else []),
        *(Index(None, field.name) for field in fields if field.refers_to),
        Index(f"ix_{name}_live", "source_modified_at", postgresql_where=text("deleted_at is null")),
        Index(f"ix_{name}_changed_at", "changed_at"),
        *(_filter_index(name, field) for field in fields if field.filtered_by not in (None, Filter.REFERENCE)),
    )


#: Of a longer value the beginning is indexed: an index entry has room for no text of any length.
INDEXED_CHARACTERS = 200


def _filter_index(table: str, field: Field) -> Index:
    """The index of a filter. A value that many rows share is indexed in the order of lists."""
    name, beginning = f"ix_{table}_{field.name}", func.left(column(field.name), INDEXED_CHARACTERS)
    if field.filtered_by is Filter.VALUE:
        return Index(name, beginning, "source", "source_id")
    return Index(name, func.lower(beginning).label("folded"), postgresql_ops={"folded": "text_pattern_ops"})


def _sync_columns() -> list[Column[Any]]:
    """Columns of every mirror row: its state at the source, and when TDS learned it."""
    return [
        Column("source_modified_at", Instant, comment="when the source last changed it; never moves backwards"),
        *_source_record_columns(),
        Column(
            "list_hash",
            LargeBinary,
            comment="fingerprint of the list row last seen: equal means nothing to read",
        ),
        Column(
            "version",
            Integer,
            nullable=False,
            comment="counts our changes; the audit trail has one entry for each",
        ),
        Column("created_at", Instant, nullable=False, server_default=func.now()),
        Column(
            "changed_at",
            Instant,
            nullable=False,
            server_default=func.now(),
            comment="when we last changed it",
        ),
        Column(
            "confirmed_at",
            Instant,
            comment="when the source's API last showed this very version; null: only a webhook said so",
        ),
        Column("deleted_at", Instant, comment="when we learned that the source no longer has it"),
    ]


def _source_record_columns() -> list[Column[Any]]:
    """The record as the source sent it, its modification time, and the endpoint it came from."""
    return [
        Column(
            "source_record",
            JSONB,
            nullable=False,
            server_default=text("'{}'"),
            comment="the record as the source sent it: one state of it, never two put together",
        ),
        Column(
            "source_record_at",
            Instant,
            comment="when the source last changed the state in source_record; before source_modified_at: it is older",
        ),
        Column(
            "source_record_seen",
            Text,
            comment="the door source_record came by: list, part (of a webhook), body or detail; null: not known",
        ),
    ]


def _lines_confirmed_at() -> Column[Any]:
    return Column(
        "lines_confirmed_at",
        Instant,
        comment="when the record was last seen whole, with its lines; null: only a list row since it changed",
    )


def line_table(entity: str, lines: str, fields: tuple[Field, ...]) -> Table:
    """`erp.<entity>_<line>`: the lines of a document in their order."""
    name = f"{entity}_{lines.removesuffix('s')}"
    return Table(
        name,
        mirror_metadata,
        Column("source", Text, primary_key=True),
        Column("parent_id", Text, primary_key=True, comment=f"source id of the {entity}"),
        Column("position", Integer, primary_key=True, comment="0 is the first line"),
        Column("line_id", Text),
        *(Column(field.name, field.kind.column) for field in fields),
        ForeignKeyConstraint(
            ["source", "parent_id"],
            [f"erp.{entity}.source", f"erp.{entity}.source_id"],
            name=f"fk_{name}_parent",
            ondelete="CASCADE",
        ),
        *(Index(None, field.name) for field in fields if field.refers_to),
    )
