"""The log of deliveries: the latest in full, and exact counts of all."""

import threading
from collections import Counter, deque
from typing import Any

ROWS_MAX = 50_000


class DeliveryLog:
    """Counts by kind and status, and a ring of the latest rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[dict[str, Any]] = deque(maxlen=ROWS_MAX)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._withheld: Counter[str] = Counter()

    def note(self, row: dict[str, Any]) -> None:
        """Keep one delivery attempt: sequence, module, event, record_id, kind, status_code, error, sent_at."""
        with self._lock:
            self._rows.append(row)
            self._counts[row["kind"], str(row["status_code"] or "error")] += 1

    def withhold(self, reason: str) -> None:
        """Count a delivery that was never sent: dropped by fault, or above the day's cap."""
        with self._lock:
            self._withheld[reason] += 1

    def counts(self) -> dict[str, Any]:
        with self._lock:
            table: dict[str, dict[str, int]] = {}
            for (kind, status), count in sorted(self._counts.items()):
                table.setdefault(kind, {})[status] = count
            return {
                "by_kind": table,
                "sent_count": sum(self._counts.values()),
                "dropped_count": self._withheld["dropped"],
                "capped_count": self._withheld["capped"],
            }

    def rows(self, *, after: int = 0, limit: int = 1000, kind: str = "", record_id: str = "") -> list[dict[str, Any]]:
        """The kept rows with a sequence above `after`, oldest first."""
        with self._lock:
            rows = list(self._rows)
        wanted = (
            row
            for row in rows
            if row["sequence"] > after and kind in ("", row["kind"]) and record_id in ("", row["record_id"])
        )
        return [row for _, row in zip(range(limit), wanted, strict=False)]
