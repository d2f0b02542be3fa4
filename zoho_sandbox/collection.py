"""All live records of one kind, kept sorted so that a page is a slice, and the ids of the deleted ones."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from zoho_sandbox.record import Record, Shape

Entry = tuple[Any, str]
Facets = tuple[tuple[str, str], ...]
_VIEWS_MAX = 32
_encode = msgspec.json.Encoder().encode


class Collection:
    """The records of one kind by id, and sorted views of them that follow every change."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.records: dict[str, Record] = {}
        self.deleted: dict[str, int] = {}
        # Sent in place of what lists and details would show of a record, byte by byte.
        self.odd_rows: dict[str, bytes] = {}
        self.odd_details: dict[str, bytes] = {}
        self.version = 0
        self._views: dict[tuple[Facets, str], list[Entry]] = {}

    def fill(self, records: Iterable[Record]) -> None:
        """Take many records at once, before any view exists."""
        self.records.update((record.id, record) for record in records)
        self._views.clear()
        self.version += 1

    def replace(self, before: Record | None, after: Record | None) -> None:
        """Put `after` in the place of `before`; either may be missing (a creation, a deletion)."""
        self.version += 1
        for (facets, column), entries in self._views.items():
            key = self.shape.columns[column]
            if before is not None and self.matches(before, facets):
                del entries[bisect_left(entries, (key(before), before.id))]
            if after is not None and self.matches(after, facets):
                insort(entries, (key(after), after.id))
        if after is not None:
            self.records[after.id] = after
        elif before is not None:
            del self.records[before.id]
            self.deleted[before.id] = before.modified

    def matches(self, record: Record, facets: Facets) -> bool:
        return all(self.shape.facets[name](record) == value for name, value in facets)

    def view(self, facets: Facets, column: str) -> list[Entry]:
        """The (key, id) pairs of the matching records in ascending order; not to be changed by the caller."""
        entries = self._views.get((facets, column))
        if entries is None:
            key = self.shape.columns[column]
            entries = sorted(
                (key(record), record.id) for record in self.records.values() if self.matches(record, facets)
            )
            if len(self._views) >= _VIEWS_MAX:
                self._views.pop(next(iter(self._views)))
            self._views[facets, column] = entries
        return entries

    def row(self, record: Record) -> bytes:
        """The record as a list shows it, encoded."""
        if record.id in self.odd_rows:
            return self.odd_rows[record.id]
        if record.row is None:
            record.row = _encode(self.shape.render_row(record))
        return record.row

    def detail(self, record: Record, *, keep: bool = False) -> bytes:
        """The record in full, encoded; kept only on request, for details are large and rarely asked twice."""
        if record.id in self.odd_details:
            return self.odd_details[record.id]
        if record.detail is not None:
            return record.detail
        encoded = _encode(self.shape.render_detail(record))
        if keep:
            record.detail = encoded
        return encoded

    def details(self, records: Iterable[Record]) -> Iterator[bytes]:
        """The given records in full, one after the other."""
        return (self.detail(record) for record in records)
