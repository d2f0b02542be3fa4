"""The organisation's records and the one way they change: a commit under one lock, told to whoever listens."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from zoho_sandbox.api_errors import missing
from zoho_sandbox.clock import OrgClock
from zoho_sandbox.collection import Collection
from zoho_sandbox.entities import all_shapes
from zoho_sandbox.organization import BASE_ID, Organization
from zoho_sandbox.paging import Pages
from zoho_sandbox.record import Record, State
from zoho_sandbox.settings import Settings


@dataclass(frozen=True)
class Change:
    """One committed change; `before` is missing for a creation, `after` for a deletion."""

    collection: Collection
    event: str
    before: Record | None
    after: Record | None

    @property
    def record(self) -> Record:
        """The record the change leaves, or for a deletion the last one there was."""
        record = self.after or self.before
        if record is None:
            raise ValueError("a change without a record")
        return record


class World:
    """Everything the organisation holds. Call its methods with `lock` held."""

    def __init__(self, settings: Settings, clock: OrgClock | None = None) -> None:
        self.lock = threading.RLock()
        self.clock = clock or OrgClock(settings.timezone)
        self.organization = Organization(settings, self.clock)
        self.collections = {name: Collection(shape) for name, shape in all_shapes(self.organization).items()}
        self.pages = {name: Pages(collection) for name, collection in self.collections.items()}
        self.listeners: list[Callable[[Change], None]] = []
        self.changes: Counter[str] = Counter()
        self.stock_bumps_modified = True
        # Whether a customer can become a vendor: nobody outside knows.
        self.contacts_change_sides = False
        # How many records stand on a record: what is used cannot be deleted.
        self.uses: Counter[str] = Counter()
        self._names: dict[str, Counter[str]] = {name: Counter() for name in self.collections}
        self._last_id = BASE_ID + 1_000_000
        self._last_numbers: Counter[str] = Counter()

    def new_id(self) -> str:
        # Steps leave room for the ids of parts (a contact's person and addresses).
        self._last_id += 8
        return str(self._last_id)

    def new_number(self, prefix: str) -> str:
        """The next number of a series, like `INV-000001`."""
        self._last_numbers[prefix] += 1
        return f"{prefix}{self._last_numbers[prefix]:06d}" if prefix else str(self._last_numbers[prefix])

    def find(self, name: str, record_id: str) -> Record:
        """The live record; raises Zoho's 1002 when there is none."""
        collection = self.collections[name]
        record = collection.records.get(record_id)
        if record is None:
            raise missing(collection.shape.noun)
        return record

    def name_is_taken(self, name: str, given: str) -> bool:
        """Whether a living record of the collection bears the name already."""
        return self._names[name][given.lower()] > 0

    def seed(self, name: str, records: list[Record]) -> None:
        """Take records that were always there: nothing is told to anyone."""
        self.collections[name].fill(records)
        for record in records:
            self._account(name, record, 1)

    def create(self, name: str, state: State) -> Record:
        now = self.clock.now()
        record = Record(self.new_id(), state, now, now)
        self._commit(name, "created", None, record)
        return record

    def update(self, name: str, before: Record, state: State) -> Record:
        record = Record(before.id, state, before.created, max(self.clock.now(), before.modified))
        self._commit(name, "edited", before, record)
        return record

    def delete(self, name: str, record: Record) -> None:
        self._commit(name, "deleted", record, None)

    def move_stock(self, before: Record, state: State) -> Record:
        """A stock movement: an edit of the item, or (by switch) a change its modified time does not show."""
        if self.stock_bumps_modified:
            return self.update("items", before, state)
        record = Record(before.id, state, before.created, before.modified)
        self.collections["items"].replace(before, record)
        self.changes["items.moved"] += 1
        return record

    def make_odd(
        self, name: str, record_id: str, *, row: str | None = None, detail: str | None = None, modified_at: str = ""
    ) -> None:
        """Let a record be sent as these texts, and be changed at another time, however far ahead: nothing is told."""
        before, collection = self.find(name, record_id), self.collections[name]
        if row is not None:
            collection.odd_rows[record_id] = row.encode("utf-8", "surrogateescape")
        if detail is not None:
            collection.odd_details[record_id] = detail.encode("utf-8", "surrogateescape")
        if modified_at:
            modified = self.clock.parse(modified_at)
            collection.replace(before, Record(before.id, before.state, before.created, modified))

    def _commit(self, name: str, event: str, before: Record | None, after: Record | None) -> None:
        collection = self.collections[name]
        collection.replace(before, after)
        if before is not None:
            self._account(name, before, -1)
        if after is not None:
            self._account(name, after, 1)
        self.changes[f"{name}.{event}"] += 1
        change = Change(collection, event, before, after)
        for listener in self.listeners:
            listener(change)

    def _account(self, name: str, record: Record, step: int) -> None:
        shape, state = self.collections[name].shape, record.state
        if shape.name_key:
            self._names[name][state[shape.name_key].lower()] += step
        for record_id in shape.stands_on(state):
            self.uses[record_id] += step
