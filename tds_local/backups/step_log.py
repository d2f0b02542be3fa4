"""The steps of long work: each with its seconds and its result, told as they end, kept for the row."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any


class StepLog:
    """Steps of a restore. `on_end(name, seconds, says)` and `on_parts(name, done, total)` are told while it goes on."""

    def __init__(
        self,
        on_end: Callable[[str, float, str], None] = lambda *_: None,
        on_parts: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self.done: list[dict[str, Any]] = []
        self._on_end, self._on_parts, self._name = on_end, on_parts, ""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a step; the block says its result. A step that raises is kept with its error."""
        self._name, said, began = name, [""], time.monotonic()
        try:
            yield lambda says: said.__setitem__(0, says)
        except Exception as error:
            said[0] = str(error)[:300]
            raise
        finally:
            seconds = round(time.monotonic() - began, 2)
            self.done.append({"name": name, "seconds": seconds, "says": said[0]})
            self._on_end(name, seconds, said[0])

    def parts(self, done: int, total: int) -> None:
        """Tell how far the present step is."""
        self._on_parts(self._name, done, total)
