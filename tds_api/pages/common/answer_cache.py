"""A cache of answers that are dear and the same for every reader: figures over many rows, shared by all who look."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Final

from tds_api.pages.common.answer import Answer

#: An answer as old as this is still shown while a newer one is read beside it; older ones are waited for.
FRESH_SECONDS, SHOWN_SECONDS = 5.0, 60.0
#: Addresses that are kept; which are few, since filters of lists are not cached.
MOST_ADDRESSES: Final = 100


@dataclass(slots=True)
class _Entry:
    answer: Answer
    read_at: float
    is_being_read: bool = False


class AnswerCache:
    """The last answer of each address, read again beside the page that asks for it."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = Lock()
        self._reader = ThreadPoolExecutor(1, "page-figures")

    def get(self, address: str, read: Callable[[], Answer]) -> Answer:
        """The answer of an address, at most SHOWN_SECONDS old. A refusal is not kept."""
        with self._lock:
            entry = self._entries.get(address)
            age = monotonic() - entry.read_at if entry else SHOWN_SECONDS
            if entry is not None and age < SHOWN_SECONDS:
                if age >= FRESH_SECONDS and not entry.is_being_read:
                    entry.is_being_read = True
                    self._reader.submit(self._read, address, read)
                return entry.answer
        return self._read(address, read)

    def _read(self, address: str, read: Callable[[], Answer]) -> Answer:
        answer = read()
        with self._lock:
            if answer:
                if len(self._entries) >= MOST_ADDRESSES:
                    self._entries.clear()
                self._entries[address] = _Entry(answer, monotonic())
            else:
                self._entries.pop(address, None)
        return answer
