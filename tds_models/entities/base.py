"""What an entity declaration says: its fields, its lines, and the stream a source serves it as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import takewhile
from typing import Any

from sqlalchemy import Table

from tds_models.entities.endpoint_fields import Older, older_keys
from tds_models.entities.fields import Field, Plan, plan_for, refers
from tds_models.entities.tables import line_table, mirror_table


class Increment(StrEnum):
    """How a stream tells what changed since a moment."""

    FILTER = "filter"  # it takes a least modification time
    SORTED = "sorted"  # it lists the newest first, so reading may stop early
    FULL = "full"  # it does not: every pass reads everything


class Order(StrEnum):
    """What is known of a list's order by time of change; it is held against every answer in any case."""

    DOCUMENTED = "documented"  # the source says so
    OBSERVED = "observed"  # others have had it, though no document says so
    UNKNOWN = "unknown"  # nobody knows: it is asked for
    NONE = "none"  # it cannot be had


class Shows(StrEnum):
    """Which changes of a record its list row gives away."""

    ALL = "all"  # by the time of change or by what it shows
    SOME = "some"  # a full pass reads every record in detail, others what the list gives away
    NONE = "none"  # every pass reads every record in detail


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """One call that answers the details of many records."""

    path: str
    parameter: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderList:
    """What organisations that the source has not moved yet have instead of a list, and of single records."""

    path: str
    list_key: str
    id_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One entity as one source serves it.

    `modified_key`: where a record says when it changed; `None`: it does not say.
    `list_shows`: which changes of a record its list row gives away.
    `complete_with`: the keys a webhook body must have to be applied as it is; without them it is read.
    `order`: what is known of the list's order by time of change.
    `kind`: key and value that tell this entity's records from others on the same path; `kinds`: the values there are.
    `right`: what the source calls the right to read it, where it is not called like the path.
    `older`: the list that stands in for an empty or unknown one. `module`: the path by which permissions and breakers
    know it, where that is another.
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
        """Which of `kinds` the value of a record's key says it is; `None`: it says nothing, or nothing readable."""
        said = raw.strip().lower() if isinstance(raw, str) else None
        return said if said in self.kinds else None

    def is_other_kind(self, record: Mapping[str, Any]) -> bool:
        """Whether `record` says that it is of another kind than this stream's."""
        if self.kind is None:
            return False
        raw = record.get(self.kind[0])
        return raw is not None and raw != self.kind[1] and self.kind_of(raw) not in (None, self.kind[1])


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The lines of a document: a child table of their own, replaced whole when the document changes.

    `detailed`: details show their key, so that one without it has no lines. `older`, `older_id_key`: see `Field`.
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
        """What a line's keys are still called in some organisations."""
        own = [Older(self.older_id_key, self.id_key, "line_id", {})] if self.older_id_key else []
        return (*own, *older_keys(self.fields))


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One kind of thing TDS mirrors, declared once; routes, tasks, tables and tests come from here.

    `priority`: 2 is served before 5, 5 before 8. `closed`: statuses after which nobody works on a record any more;
    their details are read last. `fed_by`: entities whose changes change this one without a word of its own, and which
    of their lines name the record (`None`: they have its id). `cached_seconds`: for how long an answer of the source
    about one record is good enough for a person who looks.
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

    @cached_property
    def list_is_complete(self) -> bool:
        """Whether a list row holds all that is declared; otherwise a changed row is read in detail."""
        return not self.unlisted

    @property
    def header_first(self) -> bool:
        """Whether a list row is mirrored at once and the rest of the record read later."""
        return not self.list_is_complete

    @cached_property
    def unlisted(self) -> frozenset[str]:
        """The fields and lines that no list row shows."""
        return frozenset(
            {*(lines.name for lines in self.lines), *(each.name for each in self.fields if not each.listed)}
        )

    @cached_property
    def detailed(self) -> frozenset[str]:
        """The declared keys that every detail shows where they have a value."""
        return frozenset(
            {
                *(each.key for each in self.fields if each.detailed),
                *(lines.key for lines in self.lines if lines.detailed),
            }
        )

    @cached_property
    def older_keys(self) -> tuple[Older, ...]:
        """What a record's keys are still called in some organisations."""
        older = self.stream.older
        return (
            *((Older(older.id_key, self.stream.id_key, "source_id", {}),) if older else ()),
            *older_keys(self.fields),
            *(Older(lines.older, lines.key, lines.name, {}) for lines in self.lines if lines.older),
        )

    @cached_property
    def older_mark(self) -> bytes:
        """What the JSON of every record has in it that has an older key; empty where there are none."""
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
