"""The old job: copies what changed into its tables, and now and then does what such jobs do: loses, doubles, keeps."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from tds_lab.migration_rehearsal.old_tables import PLURALS, create_tables, is_copied, write_records

#: What it says of each webhook it gave up.
ERROR = "greenlet_spawn has not been called; can't call await_only() here. Was IO attempted in an unexpected place?"
LOST_SHARE, STALE_PRICE_SHARE, DOUBLED_SHARE = 0.2, 0.3, 0.2
_IDS = {"product": "item_id", "customer": "contact_id", "sales_order": "salesorder_id"}
_WRAPPERS = {"product": "item", "sales_order": "salesorder"}

Records = Mapping[str, Sequence[Mapping[str, Any]]]

_FAIL = text("""
insert into legacy.webhook_failures (id, entity, event, payload, error, attempts, failed_at)
values (:id, :entity, 'updated', cast(:payload as jsonb), :error, 3, now())
""")
_DOUBLE = text("""
insert into legacy.items (zoho_item_id, item_name, sku, rate_cents, stock, is_active, zoho_modified)
select zoho_item_id, item_name || ' (copy)', sku, rate_cents, stock, is_active, zoho_modified - interval '1 hour'
from legacy.items where zoho_item_id = :id limit 1
""")
_DOUBLE_LINES = text("""
insert into legacy.order_lines select so_id, line_no + 100, item_id, qty, unit_price from legacy.order_lines
where so_id = :id
""")
_PRICE = text("select rate_cents from legacy.items where zoho_item_id = :id order by id limit 1")
_KEEP_PRICE = text("update legacy.items set rate_cents = :price where zoho_item_id = :id")
_FAILURES = text(
    "select id, entity, event, payload, error, attempts, failed_at from legacy.webhook_failures order by id"
)


@dataclass(slots=True)
class OldJob:
    """The job with what it remembers. `faults` counts what went wrong, by kind."""

    seed: int
    faults: dict[str, int] = field(default_factory=dict)
    _seen: dict[tuple[str, str], Any] = field(default_factory=dict)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 (faults, no secrets)

    def begin(self, connection: Connection, records: Records, *, failure_count: int) -> None:
        """Make the tables, fill them, and give up so many webhooks: products first, then sales orders."""
        create_tables(connection)
        for entity in PLURALS:
            write_records(connection, entity, records[entity])
            self._remember(entity, records[entity])
        candidates = [(entity, each) for entity in _WRAPPERS for each in records[entity]]
        for number in range(failure_count):
            entity, record = candidates[number % len(candidates)]
            payload = msgspec.json.encode({_WRAPPERS[entity]: record}).decode()
            params = {"id": f"3f2a-{number:04}", "entity": entity, "payload": payload, "error": ERROR}
            connection.execute(_FAIL, params)
        self._count("webhooks given up", failure_count)

    def run(self, connection: Connection, records: Records) -> None:
        """Copy what changed since the last time. What it loses it never looks at again; deletions it does not see."""
        for entity in PLURALS:
            changed = [each for each in records[entity] if is_copied(entity, each) and self._is_new(entity, each)]
            for each in changed:
                self._copy(connection, entity, each)
            self._remember(entity, changed)

    def _copy(self, connection: Connection, entity: str, record: Mapping[str, Any]) -> None:
        key = str(record[_IDS[entity]])
        if self._random.random() < LOST_SHARE:
            self._count("updates lost")
            return
        price = connection.execute(_PRICE, {"id": key}).scalar() if entity == "product" else None
        write_records(connection, entity, [record])
        if price is not None and self._random.random() < STALE_PRICE_SHARE:
            connection.execute(_KEEP_PRICE, {"id": key, "price": price})
            self._count("prices kept")
        if entity == "product" and self._random.random() < DOUBLED_SHARE:
            connection.execute(_DOUBLE, {"id": key})
            self._count("rows doubled")
        if entity == "sales_order" and self._random.random() < DOUBLED_SHARE:
            connection.execute(_DOUBLE_LINES, {"id": key})
            self._count("lines doubled")

    def _is_new(self, entity: str, record: Mapping[str, Any]) -> bool:
        return self._seen.get((entity, str(record[_IDS[entity]]))) != record.get("last_modified_time")

    def _remember(self, entity: str, records: Iterable[Mapping[str, Any]]) -> None:
        for each in records:
            self._seen[entity, str(each[_IDS[entity]])] = each.get("last_modified_time")

    def _count(self, kind: str, count: int = 1) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + count


def export_failures(connection: Connection) -> list[bytes]:
    """The webhooks the job gave up, as `tds dead-letter import` takes them: one JSON object a line."""
    return [msgspec.json.encode(dict(row)) for row in connection.execute(_FAILURES).mappings()]
