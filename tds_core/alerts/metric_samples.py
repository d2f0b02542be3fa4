"""Samples of measured values: stored when they change, and replayed to see when a rule would have fired."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict

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
# When the condition began or ceased to be met, by subject; with the last value before the span, which still held when
# it began. A subject that is gone meets nothing. Subjects are looked up one by one in the index: they are few, with
# many values each.
_CHANGES = text("""
with recursive subjects as (
    (select subject from tds_metrics where name = :name order by subject limit 1)
    union all
    select (select m.subject from tds_metrics m where m.name = :name and m.subject > s.subject order by 1 limit 1)
    from subjects s where s.subject is not null
)
select s.subject, c.at, c.met from subjects s cross join lateral (
    select at, met, lag(met) over (order by at) as met_before from (
        select at, coalesce(case when :is_below then value < :threshold else value > :threshold end, false) as met
        from (
            (select cast(:since as timestamptz) as at, value from tds_metrics
             where name = :name and subject = s.subject and at < :since order by tds_metrics.at desc limit 1)
            union all
            select at, value from tds_metrics where name = :name and subject = s.subject and at >= :since
        ) as measured
    ) as judged
) as c
where s.subject is not null and c.met is distinct from c.met_before order by s.subject, c.at
""")
_FIRST = text("select greatest(min(at), :since) from tds_metrics having min(at) is not null")


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
    params = {"name": rule.name, "since": since, "threshold": terms.threshold, "is_below": rule.below}
    spans: dict[str, list[_Span]] = defaultdict(list)
    for subject, at, is_met in session.execute(_CHANGES, params):
        if is_met:
            spans[subject].append(_Span(at, now))
        elif spans[subject]:
            spans[subject][-1] = _Span(spans[subject][-1].met_at, at)
    firings = [each for subject, of_it in spans.items() for each in _firings(subject, of_it, terms, now)]
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


class _Span(NamedTuple):
    """A time in which a condition was met."""

    met_at: datetime
    unmet_at: datetime


def _firings(subject: str, spans: Sequence[_Span], terms: RuleTerms, now: datetime) -> Iterable[Firing]:
    """The spans in which the condition was met for long enough; gaps shorter than `keep_seconds` do not end one."""
    keep, patience = timedelta(seconds=terms.keep_seconds), timedelta(seconds=terms.for_seconds)
    joined: list[_Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and last.unmet_at - last.met_at >= patience and span.met_at - last.unmet_at < keep:
            joined[-1] = _Span(last.met_at, span.unmet_at)
        else:
            joined.append(span)
    for span in joined:
        began_at = span.met_at + patience
        if span.unmet_at < began_at:
            continue
        ended_at = None if span.unmet_at == now else span.unmet_at + keep
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
    times = "once" if count == 1 else f"{count:,} times"
    return f"It would have fired {times} in {span}, {seconds / 60:.0f} minutes in all."
