"""One record of the organisation as it stands after one change; a later change makes a new one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

State = dict[str, Any]
Rendered = dict[str, Any]


class Record:
    """A record's own values. Immutable by custom, so that a page being sent never changes underneath."""

    __slots__ = ("created", "detail", "id", "modified", "row", "state")

    def __init__(self, record_id: str, state: State, created: int, modified: int) -> None:
        self.id = record_id
        self.state = state
        self.created = created
        self.modified = modified
        # Encoded once, kept as long as the record stands: a page is then only a join of bytes.
        self.row: bytes | None = None
        self.detail: bytes | None = None


@dataclass(frozen=True)
class Shape:
    """How one kind of record is named, sorted, filtered and written on the wire."""

    plural: str
    singular: str
    noun: str
    id_key: str
    report_name: str
    default_sort: str
    columns: dict[str, Callable[[Record], Any]]
    facets: dict[str, Callable[[Record], str]]
    status_filters: dict[str, tuple[str, str]]
    contains: dict[str, str]
    render_row: Callable[[Record], Rendered]
    render_detail: Callable[[Record], Rendered]
    rule_module: Callable[[Record], str]
    default_order: str = "A"
    search: tuple[str, ...] = field(default=())


def text_key(name: str) -> Callable[[Record], str]:
    """Sort key of a text column: letters without case."""
    return lambda record: str(record.state.get(name, "")).lower()


def number_key(name: str) -> Callable[[Record], float]:
    """Sort key of a number column; an empty text counts as nought."""
    return lambda record: float(record.state.get(name) or 0)


TIME_COLUMNS: dict[str, Callable[[Record], Any]] = {
    "created_time": lambda record: record.created,
    "last_modified_time": lambda record: record.modified,
}


def state_facet(name: str, usual: str = "") -> Callable[[Record], str]:
    """What a record is filtered by; a value the state leaves out is the `usual` one."""
    return lambda record: str(record.state.get(name, usual))
