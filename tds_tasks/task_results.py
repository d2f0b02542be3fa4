"""Results of tasks: the one sentence in which Flower and Celery's log say what a task did.

No result is stored. A task some of whose records failed ends as failed, so that a filter by state finds it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from tds_core.queue.retry_policy import RetryOutcome
from tds_core.records.compare import RowOutcome
from tds_models.runs import Run

APPLIED = frozenset({RowOutcome.CREATED, RowOutcome.UPDATED, RowOutcome.RESTORED, RowOutcome.DELETED})
PUT_OFF = frozenset({RetryOutcome.SNOOZE, "overtaken"})


class WorkFailedError(Exception):
    """Work of a task failed and was settled, with this sentence; Celery shows the task as failed, without traceback."""


class WorkSummary:
    """Records by outcome, and the ids of the inbox events, that one task worked for."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: int | None = None
        self._last: int | None = None

    def add(self, counts: Mapping[str, int]) -> None:
        """Add records by outcome."""
        self._counts.update(counts)

    def add_events(self, ids: Iterable[int]) -> None:
        """Add the ids of inbox events."""
        given = [*ids, *(each for each in (self._first, self._last) if each is not None)]
        self._first, self._last = min(given, default=None), max(given, default=None)

    @property
    def has_failures(self) -> bool:
        """Whether an attempt at a record failed: it is retried, or dead-lettered."""
        return bool(self._counts[RetryOutcome.RETRY] or self._counts[RetryOutcome.DEAD])

    def sentence(self, entity: str) -> str:
        """`product: 12 applied, 1 retried, 0 dead-lettered, events 101-112`."""
        if not self._counts:
            return f"{entity}: nothing was due"
        counts = self._counts
        parts = [f"{sum(counts[each] for each in APPLIED)} applied"]
        parts += [f"{counts[each]} {each}" for each in (RowOutcome.UNCHANGED, RowOutcome.STALE) if counts[each]]
        if put_off := sum(counts[each] for each in PUT_OFF):
            parts.append(f"{put_off} put off")
        if alone := counts[ALONE]:
            parts.append(f"{alone} tried in processes of their own")
        parts += [f"{counts[RetryOutcome.RETRY]} retried", f"{counts[RetryOutcome.DEAD]} dead-lettered"]
        if self._first is not None:
            parts.append(f"events {self._first}-{self._last}" if self._first != self._last else f"event {self._first}")
        return f"{entity}: {', '.join(parts)}"


#: Counts records whose outcome a forked process knows alone.
ALONE = "alone"
_current: ContextVar[WorkSummary | None] = ContextVar("summary", default=None)


@contextmanager
def summarized() -> Iterator[WorkSummary]:
    """The summary of the work that is done inside the block."""
    summary = WorkSummary()
    token = _current.set(summary)
    try:
        yield summary
    finally:
        _current.reset(token)


def count_records(counts: Mapping[str, int]) -> None:
    """Add records by outcome to the summary of the present task; without one, nothing is counted."""
    if (summary := _current.get()) is not None:
        summary.add(counts)


def count_events(ids: Iterable[int]) -> None:
    """Add the ids of inbox events to the summary of the present task."""
    if (summary := _current.get()) is not None:
        summary.add_events(ids)


def run_sentence(run: Run) -> str:
    """`run 7, product, full: completed, 3 pages, 250 created, 2 unchanged`."""
    records = [f"{count} {outcome}" for outcome, count in run.outcomes.items() if isinstance(count, int) and count]
    pages = f"{run.page_count} page{'' if run.page_count == 1 else 's'}"
    return f"run {run.id}, {run.entity}, {run.mode}: {', '.join([run.state, pages, *records])}"


def ended(sentence: str, *, failed: bool) -> str:
    """Return `sentence`; raise it as `WorkFailedError` if `failed`."""
    if failed:
        raise WorkFailedError(sentence)
    return sentence
