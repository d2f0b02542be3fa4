"""A record of the organisation as it stands after one change; a later change makes a new one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

State = dict[str, Any]
Rendered = dict[str, Any]

BOOKS, INVENTORY = "ZohoBooks", "ZohoInventory"
EVERYWHERE = frozenset({BOOKS, INVENTORY})


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

    # What the sandbox calls the collection, and the key of its rows in a list answer; mostly the same.
    name: str
    plural: str
    singular: str
    noun: str
    id_key: str
    report_name: str
    default_sort: str
    # Every order the sandbox itself needs; a caller may ask for the `sortable` ones only.
    columns: dict[str, Callable[[Record], Any]]
    sortable: frozenset[str]
    facets: dict[str, Callable[[Record], str]]
    status_filters: dict[str, tuple[str, str]]
    contains: dict[str, str]
    render_row: Callable[[Record], Rendered]
    render_detail: Callable[[Record], Rendered]
    # The module workflow rules know the record by; empty where rules know no such module.
    rule_module: Callable[[Record], str]
    # The products whose lists are known to heed `last_modified_time`.
    incremental: frozenset[str] = EVERYWHERE
    default_order: str = "A"
    search: tuple[str, ...] = field(default=())
    # Whether lists know `date_start`, `date_end`, `date_before` and `date_after`.
    is_dated: bool = False
    # The field of the state that is given once among the living records; empty where names may repeat.
    name_key: str = ""
    # The ids of the records this one stands on, which therefore cannot be deleted.
    stands_on: Callable[[State], Iterable[str]] = lambda _state: ()
    # The row as a list by location shows it, for lists that know locations.
    render_row_at: Callable[[Record, int], Rendered] | None = None
    # The key around a webhook's body.
    wrapper: str = ""


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
