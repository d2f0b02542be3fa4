"""Statistics of the demo, read with plain SQL; and snapshots of a running demo with rates, latency and agreement."""

import dataclasses
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from tds_lab.comparison.spot_check import Sample, Sampler
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import call_count
from tds_models.entities import ENTITIES

_PENDING_WORK = text("""
select (select count(*) from tds_inbox_events where verdict is null),
       (select count(*) from tds_sync_queue),
       (select count(*) from tds_sync_runs where state in ('queued', 'running'))
""")
_VERDICTS = text("""
select coalesce(verdict, 'none'), count(*) from tds_inbox_events where received_at >= :since group by 1 order by 1
""")
_LATENCY = text("""
select percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from verdict_at - received_at))
from tds_inbox_events where received_at >= :since and received_at < :until and verdict_at is not null
""")
_LATENCY_BY_ENTITY = text("""
select entity, percentile_cont(0.95) within group (order by extract(epoch from verdict_at - received_at))::float8
from tds_inbox_events where received_at >= :since and received_at < :until and verdict_at is not null
group by entity order by entity
""")
_RUNS = text("""
select distinct on (entity) entity, state, fetched_count from tds_sync_runs
where requested_by = 'demo' and mode = 'full' order by entity, id desc
""")
_TABLES = {name: entity.table.fullname for name, entity in ENTITIES.items()}
_OLDEST = " union all ".join(f"select min(created_at) as created_at from {table}" for table in _TABLES.values())
_FIRST = text(f"select min(created_at) from ({_OLDEST}) as every_one")
_WHOLE = text(
    " union all ".join(
        f"select '{name}', count(lines_confirmed_at) from {_TABLES[name]}"
        for name, entity in ENTITIES.items()
        if entity.header_first
    )
)
_DUPLICATES = text("select coalesce(sum(duplicate_count), 0) from tds_inbox_fingerprints")
_REJECTED = text("select count(*) from tds_rejected_deliveries")
_DEAD = text("select count(*) from tds_dead_letter_queue where resolved_at is null")
_QUEUE = text("select entity, count(*) from tds_sync_queue group by entity order by entity")
_NEWEST_CHANGE = text("select coalesce(max(id), 0) from tds_audit_trail")
_CHANGED_RECORDS = text("""
select entity, count(distinct source_id) from tds_audit_trail where id > :after group by entity
""")


@dataclasses.dataclass(frozen=True, slots=True)
class PendingWork:
    """Work not done yet: events without verdict, work items, open runs."""

    events: int
    items: int
    runs: int

    def __bool__(self) -> bool:
        return bool(self.events or self.items or self.runs)


def pending_work(connection: Connection) -> PendingWork:
    """The work not done yet."""
    return PendingWork(*connection.execute(_PENDING_WORK).one())


def clock(connection: Connection) -> datetime:
    """The database's time, which is what events are stamped with."""
    return connection.execute(text("select clock_timestamp()")).scalar_one()


def count_verdicts(connection: Connection, since: datetime) -> dict[str, int]:
    """Events by verdict; `none` are those that wait for theirs."""
    return {row[0]: row[1] for row in connection.execute(_VERDICTS, {"since": since})}


def latency_ms(connection: Connection, *, since: datetime, until: datetime) -> dict[str, float | None]:
    """Milliseconds from the transaction that stored an event to the end of what applied it, its commit left out."""
    found = connection.execute(_LATENCY, {"since": since, "until": until}).scalar() or [None] * 3
    return {
        name: None if value is None else round(float(value) * 1000, 1)
        for name, value in zip(("p50", "p95", "p99"), found, strict=True)
    }


def p95_ms_by_entity(connection: Connection, *, since: datetime, until: datetime) -> dict[str, float]:
    """The same for each entity, whose turns must not depend on how busy the others are."""
    found = connection.execute(_LATENCY_BY_ENTITY, {"since": since, "until": until})
    return {row[0]: round(row[1] * 1000, 1) for row in found}


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """How far an entity's first load is: whether its list is read to the end, rows of it so far, and records read
    whole (`None` where the list shows them whole).
    """

    is_listed: bool
    listed_count: int
    whole_count: int | None


def loads(connection: Connection) -> dict[str, Load]:
    """How far the demo's first load of each entity is."""
    whole = {row[0]: row[1] for row in connection.execute(_WHOLE)}
    return {
        row.entity: Load(row.state not in ("queued", "running"), row.fetched_count, whole.get(row.entity))
        for row in connection.execute(_RUNS)
    }


def first_record_at(connection: Connection) -> datetime | None:
    """When the mirror got its first record."""
    return connection.execute(_FIRST).scalar()


def received_count(connection: Connection) -> int:
    """Events that were accepted and understood."""
    return int(connection.execute(text("select count(*) from tds_inbox_events where entity is not null")).scalar_one())


def duplicate_count(connection: Connection) -> int:
    """Deliveries that repeated an earlier one."""
    return int(connection.execute(_DUPLICATES).scalar_one())


def rejected_count(connection: Connection) -> int:
    """Refused deliveries that were kept."""
    return int(connection.execute(_REJECTED).scalar_one())


def dead_letter_count(connection: Connection) -> int:
    """Open dead letters."""
    return int(connection.execute(_DEAD).scalar_one())


def queue(connection: Connection) -> Mapping[str, int]:
    """Live work items by entity."""
    return {row[0]: row[1] for row in connection.execute(_QUEUE)}


def newest_change(connection: Connection) -> int:
    """The id of the newest change in the history."""
    return int(connection.execute(_NEWEST_CHANGE).scalar_one())


def records_changed_since(connection: Connection, after_id: int) -> dict[str, int]:
    """How many records of each entity were changed after the change `after_id`."""
    return {row[0]: row[1] for row in connection.execute(_CHANGED_RECORDS, {"after": after_id})}


Figures = dict[str, Any]


SAMPLE_EVERY_SECONDS = 2.0
RECENT_SECONDS = 30
LOOKS_PER_RATE = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment. Rates are over the last few looks, latency over the last half minute."""

    seconds: float
    edit_count: int
    edits_per_second: float
    events_per_second: float
    deliveries: Mapping[str, Any]
    verdicts: Mapping[str, int]
    duplicate_count: int
    rejected_count: int
    latency_ms: Mapping[str, float | None]
    queue: Mapping[str, int]
    dead_letter_count: int
    api_call_count: int
    sample: Sample

    @property
    def event_count(self) -> int:
        """Events received since the edits began."""
        return sum(self.verdicts.values())


class Watcher:
    """Takes snapshots of a running environment; compares samples no more often than is cheap."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._began = time.monotonic()
        self._sampler = Sampler(environment)
        self._sample, self._sampled_at = Sample(), 0.0
        self._looks: list[tuple[float, int, int]] = [(self._began, 0, 0)]
        with environment.engine.connect() as connection:
            self._since = clock(connection)

    def look(self) -> Snapshot:
        """The state now. Raises `SQLAlchemyError` or `RequestException` when a side does not answer."""
        state = self._environment.stand_in.state()
        edit_count = state["edits"]["edit_count"]
        with self._environment.engine.connect() as connection:
            now = clock(connection)
            verdicts = count_verdicts(connection, self._since)
            if time.monotonic() - self._sampled_at >= SAMPLE_EVERY_SECONDS:
                self._sample = self._sampler.take(connection, state["entities"])
                self._sampled_at = time.monotonic()
            rates = self._rates(edit_count, sum(verdicts.values()))
            recently = max(self._since, now - timedelta(seconds=RECENT_SECONDS))
            return Snapshot(
                seconds=time.monotonic() - self._began,
                edit_count=edit_count,
                edits_per_second=rates[0],
                events_per_second=rates[1],
                deliveries=state["deliveries"],
                verdicts=verdicts,
                duplicate_count=duplicate_count(connection),
                rejected_count=rejected_count(connection),
                latency_ms=latency_ms(connection, since=recently, until=now),
                queue=queue(connection),
                dead_letter_count=dead_letter_count(connection),
                api_call_count=call_count(state) - self._sampler.call_count,
                sample=self._sample,
            )

    def _rates(self, edits: int, events: int) -> tuple[float, float]:
        self._looks = [*self._looks, (time.monotonic(), edits, events)][-LOOKS_PER_RATE:]
        (then, edits_then, events_then), (now, _, _) = self._looks[0], self._looks[-1]
        span = now - then
        return ((edits - edits_then) / span, (events - events_then) / span) if span else (0.0, 0.0)
