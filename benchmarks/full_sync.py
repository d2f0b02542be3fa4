"""A whole organisation, all entities with every line: a first full sync, a second one that finds nothing, and an
incremental one after an hour of edits without webhooks; each ends equal to the stand-in's own dump.

The least an incremental sync can cost, given what Zoho's API can tell (200 rows a page, 100 items a call):

    sum over lists with times    max(1, ceil(changed / 200))     what changed, or that nothing did
  + sum over lists without       ceil(all / 200)                 they are read whole, stock among them
  + documents                    changed                         each is read by itself
  + stock                        ceil(changed / 100)
  + price lists                  all                             no list shows a price

Deletions and transfers between locations are left out of the hour: no list of changes shows them, so they are what
full syncs are for.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Engine, text

from benchmarks.bulk import UNLIMITED, environment
from tds_core.schema.migrations import upgrade
from tds_lab.comparison.mirror_comparison import compare
from tds_lab.zoho_stand_in import SIZES, StandIn, call_count
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_models.db import make_engine
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity, Increment, Shows
from zoho_sandbox.edits.edit_kinds import REMOVALS, USUAL_MIX

EDITS_AN_HOUR = 600
EDITS_PER_SECOND = 200.0
PAGE = 200

_HISTORY = text("select count(*) from tds_audit_trail")
_OWED = text("""
select (select count(*) from tds_sync_queue) + (select count(*) from tds_dead_letter_queue)
     + (select count(*) from tds_sync_runs where state <> 'completed')
""")


class Organisation:
    """A stand-in and the mirror of it, and what bringing them together takes."""

    def __init__(self, engine: Engine, env: dict[str, str], url: str) -> None:
        self.engine, self.env = engine, env
        self.stand_in = StandIn(url)

    def sync(self, mode: str) -> dict[str, Any]:
        """Sync everything; says how long it took, what it asked, wrote and left, and where both sides differ."""
        calls, history = self._calls(), self._value(_HISTORY)
        command = [sys.executable, "-m", "benchmarks.full_sync_child", mode]
        ended = subprocess.run(command, env=self.env, check=True, stdout=subprocess.PIPE, text=True)
        with self.engine.connect() as connection:
            found = compare(connection, self.stand_in)
        return {
            "seconds": round(float(ended.stdout), 2),
            "api_calls": self._calls() - calls,
            "history_entries": self._value(_HISTORY) - history,
            "owed": self._value(_OWED),
            "records": found.record_count,
            "lines": found.part_count,
            "differences": len(found.differences),
        }

    def live(self) -> dict[str, dict[str, Any]]:
        """Every living record of every entity, by id."""
        return living(self.stand_in)

    def edit(self, count: int) -> int:
        """Let the stand-in be edited; see `edit`."""
        return edit(self.stand_in, count)

    def _calls(self) -> int:
        return call_count(self.stand_in.state())

    def _value(self, statement: Any) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())


def living(stand_in: StandIn) -> dict[str, dict[str, Any]]:
    """Every living record of every entity, by id."""
    found: dict[str, dict[str, Any]] = {}
    for name, entity in ENTITIES.items():
        stream = entity.stream
        rows = [row for row in stand_in.dump(stream.path) if _is_of(entity, row)]
        found[name] = {row[stream.id_key]: row for row in rows}
    return found


def edit(stand_in: StandIn, count: int, *, per_second: float = EDITS_PER_SECOND) -> int:
    """Let the stand-in be edited about so often, by what lists show and without removals; returns how often it was."""
    mix = {name: weight for name, weight in USUAL_MIX.items() if name not in {*REMOVALS, "item_transfer"}}
    wanted = {"rate_per_second": per_second, "mix": mix, "seconds": count / per_second}
    requests.post(f"{stand_in.url}/_control/edits/start", json=wanted, timeout=30).raise_for_status()
    while requests.get(f"{stand_in.url}/_control/edits", timeout=30).json()["running"]:
        time.sleep(0.1)
    return stand_in.stop_edits()


def _is_of(entity: Entity, row: Mapping[str, Any]) -> bool:
    kind = entity.stream.kind
    return kind is None or row[kind[0]] == kind[1]


def _told(entity: Entity, row: Mapping[str, Any] | None) -> Any:
    """What of a record is this entity's: items are more than their stock."""
    return row and [row.get(key) for key in _keys(entity)]


def _keys(entity: Entity) -> list[str]:
    return [*(field.key for field in entity.fields), *(lines.key for lines in entity.lines)]


def least_calls(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> int:
    """The fewest calls that can bring a mirror of `before` to `after`; see the formula above."""
    least = 0
    for name, entity in ENTITIES.items():
        stream, every = entity.stream, len(after[name])
        changed = sum(_told(entity, before[name].get(key)) != _told(entity, row) for key, row in after[name].items())
        listed = changed if stream.increment is Increment.FILTER else every
        least += max(1, ceil(listed / PAGE))
        if entity.header_first:
            least += ceil(
                (every if stream.list_shows is Shows.NONE else changed) / (stream.batch.size if stream.batch else 1)
            )
    return least


@contextmanager
def organisation(counts: Mapping[str, int]) -> Iterator[Organisation]:
    """A stand-in of this size, and an empty mirror for it."""
    options = [f"--{name}={count}" for name, count in counts.items()]
    command = [sys.executable, "-m", "zoho_sandbox", *options, *UNLIMITED]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        zoho = json.loads(process.stdout.readline())
        with (
            tempfile.TemporaryDirectory() as home,
            EmbeddedPostgres(Path(home)) as postgres,
            EmbeddedRedis(Path(home)) as redis,
        ):
            upgrade(postgres.url)
            engine = make_engine(postgres.url, pool_size=2)
            # Nobody is there to approve of a run that changes much.
            env = environment(postgres.url, redis.url, zoho, home) | {"TDS_GUARD_PERCENT": "100"}
            yield Organisation(engine, env, zoho["url"])
            engine.dispose()
    finally:
        process.terminate()
        process.wait()


def measure(size: str = "full", edits: int = EDITS_AN_HOUR) -> dict[str, Any]:
    """The three syncs: their figures by name, and the ratios that tell something."""
    with organisation(SIZES[size]) as both:
        first, second = both.sync("full"), both.sync("full")
        before = both.live()
        edited = both.edit(edits)
        least = least_calls(before, both.live())
        hour = both.sync("incremental")
    named = {"first": first, "second": second, "hour": hour}
    return {
        **{f"{name}_{figure}": value for name, figures in named.items() for figure, value in figures.items()},
        "second_share_of_first": round(second["seconds"] / first["seconds"], 3),
        "hour_edits": edited,
        "hour_least_api_calls": least,
        "hour_calls_to_least": round(hour["api_calls"] / least, 2),
    }


def main() -> None:
    """Command line: `python -m benchmarks.full_sync [--size NAME] [--edits N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--edits", type=int, default=EDITS_AN_HOUR)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(chosen.size, chosen.edits)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:24} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
