"""The declaration of an entity: its fields, its lines, and the stream by which a source serves it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import takewhile
from typing import Any

from sqlalchemy import Table

from tds_models.entities.field_modifiers import Older, older_keys
from tds_models.entities.fields import Field, Filter, Plan, plan_for, refers
from tds_models.entities.table_factory import line_table, mirror_table
from tds_models.entities.totals import DocumentTotal, LineTotal


class Increment(StrEnum):
    """How the changes since a given time are read from a stream."""

    FILTER = "filter"  # the list takes a minimum modification time
    SORTED = "sorted"  # the list has the newest change first, so reading may stop early
    FULL = "full"  # not supported: every pass reads everything


class Order(StrEnum):
    """Whether a list can be sorted by modification time; every response is checked in any case."""

    DOCUMENTED = "documented"  # documented by the source
    OBSERVED = "observed"  # observed, but not documented
    UNKNOWN = "unknown"  # not known: it is requested
    NONE = "none"  # not supported


class Shows(StrEnum):
    """Which changes of a record can be seen in its list row."""

    ALL = "all"  # every change, by modification time or content
    SOME = "some"  # not all: a full pass reads every record in detail
    NONE = "none"  # no change: every pass reads every record in detail


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """A call that returns the details of many records; `size`: of how many at most."""

    path: str
    parameter: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderList:
    """The legacy list, used by organisations that the source has not migrated to the new module."""

    path: str
    list_key: str
    id_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One entity as one source serves it.

    `modified_key`: the key of the modification time, None without one.
    `list_shows`: which changes can be seen in a list row.
    `complete_with`: keys a webhook body must have to be applied without reading the record.
    `order`: whether the list can be sorted by modification time.
    `kind`: key and value that distinguish this entity's records on a shared path; `kinds`: all values of that key.
    `right`: the name of the scope to read it, if it differs from the path.
    `older`: the legacy list. `module`: the path used for permissions and breakers, if it differs from `path`.
    """

    api: str
    path: str
    list_key: str
    record_key: str
    id_key: str
    modified_key: str | None = "last_modified_time"
    where: Mapping[str, str] = field(default_factory=dict)
    increment: Increment = Increment.FILTER
    list_shows: Shows = Shows.ALL
    order: Order = Order.UNKNOWN
    batch: BatchCall | None = None
    wrappers: tuple[str, ...] = ()
    rule_module: str | None = None
    complete_with: tuple[str, ...] = ()
    kind: tuple[str, str] | None = None
    kinds: tuple[str, ...] = ()
    right: str | None = None
    older: OlderList | None = None
    module: str | None = None
    source: str = "zoho"

    def kind_of(self, raw: Any) -> str | None:
        """The kind in `raw`, the value of a record's kind key; None if it is none of `kinds`."""
        value = raw.strip().lower() if isinstance(raw, str) else None
        return value if value in self.kinds else None

    def is_other_kind(self, record: Mapping[str, Any]) -> bool:
        """Whether `record` states another kind than this stream's."""
        if self.kind is None:
            return False
        raw = record.get(self.kind[0])
        return raw is not None and raw != self.kind[1] and self.kind_of(raw) not in (None, self.kind[1])


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The lines of a document: a child table, replaced whole when the document changes.

    `detailed`: details always have their key, so one without it has no lines. `older`, `older_id_key`: see `Field`.
    """

    name: str
    key: str
    id_key: str
    fields: tuple[Field, ...]
    detailed: bool = True
    older: str | None = None
    older_id_key: str | None = None

    @cached_property
    def plan(self) -> Plan:
        """How a line's values are read."""
        return plan_for(self.fields)

    @cached_property
    def identity(self) -> Plan:
        """How a line's own id is read."""
        return plan_for((refers("line_id", to=None, key=self.id_key),))

    @cached_property
    def older_keys(self) -> tuple[Older, ...]:
        """The legacy keys of a line."""
        own = [Older(self.older_id_key, self.id_key, "line_id", {})] if self.older_id_key else []
        return (*own, *older_keys(self.fields))


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One kind of record TDS mirrors, declared once; routes, tasks, tables and tests are derived from it.

    `priority`: 2 is served before 5, 5 before 8. `closed`: final statuses; details of such records are read last.
    `fed_by`: entities whose changes also change this one, with the name of their lines that refer to its records (None:
    they share its id). `cached_seconds`: how long a response about one record may be shown to people from the cache.
    `line_total`, `document_total`: what its lines and its sums should come to.
    """

    name: str
    title: str
    priority: int
    fields: tuple[Field, ...]
    stream: Stream
    lines: tuple[Lines, ...] = ()
    closed: tuple[str, ...] = ()
    fed_by: Mapping[str, str | None] = field(default_factory=dict)
    cached_seconds: int = 300
    line_total: LineTotal | None = None
    document_total: DocumentTotal | None = None

    @cached_property
    def list_is_complete(self) -> bool:
        """Whether a list row has every declared field; otherwise a changed record is read in detail."""
        return not self.unlisted

    @property
    def header_first(self) -> bool:
        """Whether a list row is mirrored at once and the rest of the record is read later."""
        return not self.list_is_complete

    @cached_property
    def unlisted(self) -> frozenset[str]:
        """The fields and lines that list rows lack."""
        return frozenset(
            {*(lines.name for lines in self.lines), *(each.name for each in self.fields if not each.listed)}
        )

    @cached_property
    def detailed(self) -> frozenset[str]:
        """The declared keys that every detail has, if they have a value."""
        return frozenset(
            {
                *(each.key for each in self.fields if each.detailed),
                *(lines.key for lines in self.lines if lines.detailed),
            }
        )

    @cached_property
    def required(self) -> tuple[Field, ...]:
        """The fields that should have a value."""
        return tuple(each for each in self.fields if each.required)

    @cached_property
    def filters(self) -> dict[str, Field]:
        """The fields by which rows can be filtered, by the name of the filter."""
        return {each.filter_name: each for each in self.fields if each.filtered_by}

    @cached_property
    def searched(self) -> tuple[Field, ...]:
        """The fields a search looks at beside the id; their values tell a person which record it is."""
        return tuple(each for each in self.fields if each.filtered_by in (Filter.CODE, Filter.BEGINNING))

    @cached_property
    def older_keys(self) -> tuple[Older, ...]:
        """The legacy keys of a record, its id and its lines."""
        older = self.stream.older
        return (
            *((Older(older.id_key, self.stream.id_key, "source_id", {}),) if older else ()),
            *older_keys(self.fields),
            *(Older(lines.older, lines.key, lines.name, {}) for lines in self.lines if lines.older),
        )

    @cached_property
    def older_mark(self) -> bytes:
        """A text that is in the JSON of every record with a legacy key; empty if the entity has none."""
        keys = [each.key for each in (*self.older_keys, *(key for lines in self.lines for key in lines.older_keys))]
        alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*keys, strict=False))
        return f'"{"".join(letters[0] for letters in alike)}'.encode() if keys else b""

    @cached_property
    def plan(self) -> Plan:
        """How a record's values are read."""
        return plan_for(self.fields)

    @cached_property
    def table(self) -> Table:
        """The mirror table, `erp.<name>`."""
        return mirror_table(self.name, self.fields, header_first=self.header_first)

    @cached_property
    def line_tables(self) -> dict[str, Table]:
        """The child tables by the name of their lines, `erp.<name>_<singular>`."""
        return {lines.name: line_table(self.name, lines.name, lines.fields) for lines in self.lines}
