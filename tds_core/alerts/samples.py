"""Samples of measured values: stored when they change, and replayed to see when a rule would have fired."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.alerts.rule import Rule, RuleTerms
from tds_core.queue.items import database_clock

#: A value that moves all the time is stored this often at most, unless it crosses the threshold.
GRAIN = timedelta(seconds=60)
LONGEST_DAYS = 30

_STORE = text("""
insert into tds_metrics (name, subject, at, value)
select name, subject, at, value from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    name text, subject text, at timestamptz, value float8)
on conflict do nothing
""")
# With the last value before the span, which still held when it began.
_READ = text("""
select subject, at, value from tds_metrics where name = :name and at >= :since
union all
select subject, :since, value from (
    select distinct on (subject) subject, value from tds_metrics where name = :name and at < :since
    order by subject, at desc) as before
order by subject, at
""")
_FIRST = text("select greatest(min(at), :since) from tds_metrics having min(at) is not null")


@dataclass(frozen=True, slots=True)
class Sample:
    """A value and when it was measured; it holds until the next one. None: the subject was gone."""

    at: datetime
    value: float | None


class Firing(TypedDict):
    """A time in which an alert would have fired. `ended_at`: None while it still would."""

    subject: str
    began_at: datetime
    ended_at: datetime | None
    seconds: float


class DryRun(TypedDict):
    """What a rule would have done. `measured_since`: how far back there are values."""

    rule: str
    days: int
    measured_since: datetime | None
    firing_count: int
    firing_seconds: float
    firings: list[Firing]
    says: str


class SampleWriter:
    """Knows the last sample of every series of this process, so that only changes are written."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[datetime, float | None, bool]] = {}

    def write(
        self,
        session: Session,
        values: Mapping[tuple[str, str], tuple[float, bool]],
        failed: Iterable[str],
        at: datetime,
    ) -> None:
        """Store what changed. `values`: by rule and subject, the value and whether the condition is met.

        `failed`: rules that were not measured, whose subjects are not gone.
        """
        unmeasured = set(failed)
        gone = [series for series in self._last if series not in values and series[0] not in unmeasured]
        rows: list[dict[str, Any]] = []
        for series, (value, is_met) in values.items():
            last = self._last.get(series)
            is_due = last is None or (value != last[1] and (at - last[0] >= GRAIN or is_met != last[2]))
            if is_due:
                self._last[series] = (at, value, is_met)
                rows.append({"name": series[0], "subject": series[1], "at": at, "value": value})
        for series in gone:
            del self._last[series]
            rows.append({"name": series[0], "subject": series[1], "at": at, "value": None})
        if rows:
            session.execute(_STORE, {"rows": msgspec.json.encode(rows).decode()})


def dry_run(session: Session, rule: Rule, terms: RuleTerms, *, days: int = 7) -> DryRun:
    """When a rule with these terms would have fired over the last days, by the values that were measured."""
    now = database_clock(session)
    since = now - timedelta(days=days)
    by_subject: dict[str, list[Sample]] = defaultdict(list)
    for row in session.execute(_READ, {"name": rule.name, "since": since}):
        by_subject[row.subject].append(Sample(row.at, row.value))
    firings = [each for subject, samples in by_subject.items() for each in _firings(subject, samples, rule, terms, now)]
    firings.sort(key=lambda each: each["began_at"])
    measured_since = session.execute(_FIRST, {"since": since}).scalar()
    seconds = sum(each["seconds"] for each in firings)
    return {
        "rule": rule.name,
        "days": days,
        "measured_since": measured_since,
        "firing_count": len(firings),
        "firing_seconds": seconds,
        "firings": firings[-100:],
        "says": _says(len(firings), seconds, days, measured_since, now),
    }


def _firings(subject: str, samples: Sequence[Sample], rule: Rule, terms: RuleTerms, now: datetime) -> Iterable[Firing]:
    """The spans in which the condition was met for long enough; gaps shorter than `keep_seconds` do not end one."""
    keep, patience = timedelta(seconds=terms.keep_seconds), timedelta(seconds=terms.for_seconds)
    spans: list[tuple[datetime, datetime]] = []
    for sample, following in zip(samples, [*samples[1:], Sample(now, None)], strict=True):
        if sample.value is None or not rule.is_met(sample.value, terms.threshold):
            continue
        if spans and sample.at - spans[-1][1] < (
            keep if spans[-1][1] - spans[-1][0] >= patience else timedelta.resolution
        ):
            spans[-1] = (spans[-1][0], following.at)
        else:
            spans.append((sample.at, following.at))
    for met_at, unmet_at in spans:
        began_at = met_at + patience
        if unmet_at < began_at:
            continue
        ended_at = None if unmet_at == now else unmet_at + keep
        seconds = ((ended_at or now) - began_at).total_seconds()
        yield {"subject": subject, "began_at": began_at, "ended_at": ended_at, "seconds": max(seconds, 0.0)}


def _says(count: int, seconds: float, days: int, measured_since: datetime | None, now: datetime) -> str:
    if measured_since is None:
        return "Nothing was measured yet: look again when TDS has run for a while."
    span = (
        f"the last {days} days"
        if now - measured_since > timedelta(days=days, hours=-1)
        else (f"the {(now - measured_since).total_seconds() / 3600:.1f} hours that were measured")
    )
    if not count:
        return f"It would not have fired in {span}."
    return f"It would have fired {count} times in {span}, {seconds / 60:.0f} minutes in all."
