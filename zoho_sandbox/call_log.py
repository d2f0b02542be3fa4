"""The call log: calls to the API and the accounts server, how each was answered, and how many there were."""

import threading
from collections import Counter, deque
from typing import Any

import msgspec

ROWS_MAX = 20_000


class Call(msgspec.Struct, frozen=True):
    """One answered call. `status` is 0 where the connection was dropped instead; `seconds` is how long it took."""

    sequence: int
    method: str
    path: str
    query: str
    endpoint: str
    status: int
    code: int | None
    at: float
    seconds: float


class CallLog:
    """Exact counts of all calls by endpoint and status, and the latest calls in full."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[Call] = deque(maxlen=ROWS_MAX)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._sequence = 0

    def note(self, *, status: int, endpoint: str, **told: Any) -> None:
        with self._lock:
            self._sequence += 1
            self._rows.append(Call(sequence=self._sequence, status=status, endpoint=endpoint, **told))
            self._counts[endpoint, status] += 1

    def counts(self, *, accounts: bool) -> dict[tuple[str, int], int]:
        """Counts by endpoint and status, with or without the calls to the accounts server."""
        with self._lock:
            counted = sorted(self._counts.items())
        return {key: count for key, count in counted if accounts or "/oauth/" not in key[0]}

    def rows(self, *, after: int, limit: int, status: int | None, path_prefix: str) -> list[Call]:
        """The latest kept calls with a sequence above `after`, oldest first."""
        with self._lock:
            rows = list(self._rows)
        wanted = [
            row
            for row in rows
            if row.sequence > after and status in {None, row.status} and row.path.startswith(path_prefix)
        ]
        return wanted[-limit:] if limit else []

    def table(self, *, accounts: bool) -> dict[str, dict[str, int]]:
        """The counts as JSON can carry them."""
        table: dict[str, dict[str, int]] = {}
        for (endpoint, status), count in self.counts(accounts=accounts).items():
            table.setdefault(endpoint, {})[str(status)] = count
        return table

    def forget(self) -> None:
        """Empty log and counts; sequences go on."""
        with self._lock:
            self._rows.clear()
            self._counts.clear()
