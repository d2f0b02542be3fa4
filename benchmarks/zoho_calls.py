"""Calls to Zoho for a thousand changes, by the path on which TDS hears of them; beside the fewest that Zoho's API
allows, and beside two scripts one would write by hand: a poller, which reads every list and each record whose time of
change is new, and a receiver, which reads the record of each webhook.

All of TDS runs, with the stand-in for Zoho; its timetable is paused, so that each path stands alone. Changes of
entities that no webhook tells of are among them, and left to the polling paths. A product's stock by location is in no
webhook: it is read, a hundred products a call where so many wait.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import text

from benchmarks.full_sync import PAGE, edit, least_calls, living
from benchmarks.running import loaded
from tds_core.breakers.registry import open_breakers
from tds_core.comparison import comparisons
from tds_core.mirror.live_comparison import compare_live
from tds_core.schedule import job_store, operations
from tds_core.sources import registry
from tds_core.sources.response_cache import ResponseCache, open_cache
from tds_lab.demo import phases
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import SIZES, call_count, rules
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

CHANGES, VIEWS, VIEWED = 1000, 1000, 100
#: Two changes of a record within one second have one time of change: which is newer, only Zoho can tell.
EDITS_PER_SECOND = 20.0
_WITHIN_SECONDS = 600.0

_COMPARISON = text("select state, agreement from tds_comparisons where id = :id")

Living = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Path:
    """What one path cost: changes made, calls, the fewest possible, and those of a script."""

    change_count: int
    call_count: int
    least_count: int
    script_count: int

    def figures(self, name: str) -> dict[str, Any]:
        """By name, each for a thousand changes."""
        scale = 1000 / max(1, self.change_count)
        return {
            f"{name}_calls": round(self.call_count * scale),
            f"{name}_least": round(self.least_count * scale),
            f"{name}_script": round(self.script_count * scale),
        }


class Installation:
    """A running TDS whose mirror is loaded, and what each path costs it."""

    def __init__(self, environment: Environment, change_count: int) -> None:
        self._environment, self._change_count = environment, change_count
        self._settings = environment.stack.settings

    def by_webhook(self, *, partial: bool) -> Path:
        """Changes that webhooks tell of, with the whole record or little more than its id."""
        stand_in, secret = self._environment.stand_in, self._settings.zoho_webhook_secret
        stand_in.set_rules(list(rules(self._environment.stack.urls["webhooks"], secret)))
        stand_in.set_faults({"partial": 1.0 if partial else 0.0})
        before, deliveries = self._living(), stand_in.state()
        path = self._path(lambda: None, before, least=_least_reads if partial else _none, script=_none)
        stand_in.set_rules([])
        sent = _delivered(stand_in.state()) - _delivered(deliveries)
        return Path(path.change_count, path.call_count, path.least_count, sent)

    def catch_up(self) -> None:
        """Bring over what no webhook told of."""
        phases.sweep(self._environment, also_full=True)

    def by_runs(self, mode: str) -> Path:
        """Changes that no webhook tells of, brought over by one run of each entity."""
        return self._path(
            lambda: phases.request_runs(self._environment, mode, ENTITIES), self._living(),
            least=least_calls if mode == "incremental" else _least_full, script=_polled,
        )  # fmt: skip

    def by_stock_runs(self) -> tuple[int, int]:
        """The calls of a stock sync, and the pages of items."""
        calls = self._calls()
        phases.request_runs(self._environment, "incremental", ["stock_level"])
        self._quiet()
        return self._calls() - calls, ceil(len(self._living()["product"]) / PAGE)

    def by_comparison(self, *, follow_seconds: float) -> int:
        """The calls of a comparison of all entities, behind the last full pass where it may follow one."""
        calls = self._calls()
        with session_scope(self._environment.engine) as session:
            wanted = comparisons.request_comparison(session, requested_by="benchmark", follow_seconds=follow_seconds)
        deadline = time.monotonic() + _WITHIN_SECONDS
        state = "running"
        while state == "running" and time.monotonic() < deadline:
            time.sleep(0.2)
            with self._environment.engine.connect() as connection:
                state, agreement = connection.execute(_COMPARISON, {"id": wanted}).one()
        if (state, agreement) != ("completed", "equal"):
            raise RuntimeError(f"The comparison ended as {state}, {agreement}.")
        return self._calls() - calls

    def by_views(self, cache: ResponseCache, count: int, among: int) -> int:
        """The calls of `count` live readings for people, of `among` records chosen at random."""
        scope = lambda: session_scope(self._environment.engine)  # noqa: E731
        client = registry.open_source("zoho", self._settings, scope, open_breakers(self._settings))
        ids = sorted(self._living()["product"])[:among]
        chance, calls = random.Random(7), self._calls()
        for _ in range(count):
            compare_live(scope, client, cache, ENTITIES["product"], chance.choice(ids))
        return self._calls() - calls

    def cache(self) -> ResponseCache:
        """The one all processes share."""
        return open_cache(self._settings)

    def _path(self, bring_over: Any, before: Living, *, least: Any, script: Any) -> Path:
        calls = self._calls()
        changes = edit(self._environment.stand_in, self._change_count, per_second=EDITS_PER_SECOND)
        bring_over()
        self._quiet()
        spent, after = self._calls() - calls, self._living()
        return Path(changes, spent, least(before, after), script(before, after))

    def _living(self) -> dict[str, dict[str, Any]]:
        return living(self._environment.stand_in)

    def _calls(self) -> int:
        return call_count(self._environment.stand_in.state())

    def _quiet(self) -> None:
        if left := phases.wait_until_quiet(self._environment, within_seconds=_WITHIN_SECONDS):
            raise RuntimeError(f"After {_WITHIN_SECONDS:.0f} s there is still work: {left}.")


def _delivered(state: Mapping[str, Any]) -> int:
    return int(state["deliveries"]["sent_count"])


def _changed(before: Living, after: Living, entity: str) -> int:
    return sum(before[entity].get(key) != row for key, row in after[entity].items())


def _none(_before: Living, _after: Living) -> int:
    return 0


def _least_reads(before: Living, after: Living) -> int:
    """Each changed record read once, where one call reads several by those."""
    sizes = {name: ENTITIES[name].stream.batch.size if ENTITIES[name].stream.batch else 1 for name in phases.ANNOUNCED}  # type: ignore[union-attr]
    return sum(ceil(_changed(before, after, name) / size) for name, size in sizes.items())


def _pages(after: Living) -> int:
    return sum(max(1, ceil(len(rows) / PAGE)) for rows in after.values())


def _least_full(before: Living, after: Living) -> int:
    """Every list whole, and each changed record that lists do not show whole."""
    return _pages(after) + _least_reads(before, after)


def _polled(before: Living, after: Living) -> int:
    """What the hand-written poller asks: every list whole, and each changed record by itself."""
    return _pages(after) + sum(_changed(before, after, name) for name in after)


@contextmanager
def installation(size: str, change_count: int) -> Iterator[Installation]:
    """All of TDS, and an organisation of this size whose mirror is loaded."""
    with loaded(size, comparison_settle_seconds=1.0) as environment:
        with session_scope(environment.engine) as session:
            for job in job_store.schedules(session):
                operations.pause(session, job["name"])
        yield Installation(environment, change_count)


def measure(size: str = "full", changes: int = CHANGES, views: int = VIEWS, viewed: int = VIEWED) -> dict[str, Any]:
    """The calls of each path, by name."""
    with installation(size, changes) as one:
        whole, partial = one.by_webhook(partial=False), one.by_webhook(partial=True)
        one.catch_up()
        incremental, full = one.by_runs("incremental"), one.by_runs("full")
        following, alone = one.by_comparison(follow_seconds=3600), one.by_comparison(follow_seconds=0)
        stock, pages = one.by_stock_runs()
        plain = one.by_views(ResponseCache(None), views, viewed)
        cached = one.by_views(one.cache(), views, viewed)
    poller = incremental.figures("incremental")["incremental_script"]
    figures = {
        **whole.figures("webhook_whole"),
        **partial.figures("webhook_partial"),
        **incremental.figures("incremental"),
        **full.figures("full"),
        "stock_run_calls": stock,
        "stock_run_least": pages,
        "comparison_following_calls": following,
        "comparison_alone_calls": alone,
        "views_uncached_calls": plain,
        "views_cached_calls": cached,
        "views_least": viewed,
    }
    saved = {
        f"{path}_saved_percent": round(100 * (1 - figures[f"{path}_calls"] / max(1, script)), 1)
        for path, script in (
            ("webhook_whole", figures["webhook_whole_script"]),
            ("webhook_partial", figures["webhook_partial_script"]),
            ("incremental", poller),
        )
    }
    return {**figures, **saved, "views_saved_percent": round(100 * (1 - cached / max(1, plain)), 1)}


def main() -> None:
    """Command line: `python -m benchmarks.zoho_calls [--size NAME] [--changes N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(chosen.size, chosen.changes)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:32} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
