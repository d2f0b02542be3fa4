"""The store of alerts: reads their rows, and writes changes with their transitions by compare-and-set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.alerts.state_machine import AlertChange, AlertRecord
from tds_models.alerts import ACTIVE_STATES, AlertSeverity, AlertState

log = structlog.get_logger(__name__)

_COLUMNS = ", ".join(each.name for each in fields(AlertRecord))
_ALL = text(f"select {_COLUMNS} from tds_alerts order by id")
_ACTIVE = text(f"""
select {_COLUMNS} from tds_alerts where state in ('pending', 'firing', 'acknowledged', 'flapping') order by id
""")
_LOCK = text(f"select {_COLUMNS} from tds_alerts where id = any(:ids) order by id for update")
_LOCK_SUBJECTS = text(f"""
select {_COLUMNS} from tds_alerts
where (rule, subject) in (select * from unnest(cast(:rules as text[]), cast(:subjects as text[])))
order by id for update
""")

_RECORDSET = """
jsonb_to_recordset(cast(:rows as jsonb)) as r(
    id bigint, rule text, subject text, state text, version bigint, severity text, episode int, value float8,
    summary text, detail jsonb, since_at timestamptz, seen_at timestamptz, fired_at timestamptz,
    resolved_at timestamptz, recent_firings jsonb, acknowledged_by text, acknowledged_at timestamptz,
    acknowledged_until timestamptz, note text, muted_by text, is_transition boolean, changed_at timestamptz)
"""
_FIRINGS = "array(select cast(at as timestamptz) from jsonb_array_elements_text(r.recent_firings) as at)"
_INSERT = text(f"""
insert into tds_alerts (rule, subject, state, severity, episode, value, summary, detail, since_at, seen_at, fired_at,
                        recent_firings, muted_by, changed_at)
select rule, subject, state, severity, episode, value, summary, detail, since_at, seen_at, fired_at,
       {_FIRINGS}, muted_by, changed_at from {_RECORDSET}
on conflict (rule, subject) do nothing
returning id, rule, subject
""")
_UPDATE = text(f"""
update tds_alerts a set
    state = r.state, version = a.version + 1, severity = r.severity, episode = r.episode,
    value = r.value, summary = r.summary, detail = r.detail, since_at = r.since_at, seen_at = r.seen_at,
    fired_at = r.fired_at, resolved_at = r.resolved_at, recent_firings = {_FIRINGS},
    acknowledged_by = r.acknowledged_by, acknowledged_at = r.acknowledged_at,
    acknowledged_until = r.acknowledged_until, note = r.note, muted_by = r.muted_by,
    changed_at = case when r.is_transition then r.changed_at else a.changed_at end
from {_RECORDSET}
where a.id = r.id and a.version = r.version
returning a.id, a.rule, a.subject
""")
# In the order in which every other transaction locks alerts.
_LOCK_IN_ORDER = text("select from tds_alerts where id = any(:ids) order by id for update")
_TRANSITIONS = text("""
insert into tds_alert_transitions
    (alert_id, rule, subject, episode, from_state, to_state, severity, value, changed_by, reason, at)
select alert_id, rule, subject, episode, from_state, to_state, severity, value, changed_by, reason, at
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    alert_id bigint, rule text, subject text, episode int, from_state text, to_state text, severity text,
    value float8, changed_by text, reason text, at timestamptz)
""")


def alert_records(session: Session) -> list[AlertRecord]:
    """Every alert there is."""
    return [_record(row) for row in session.execute(_ALL).mappings()]


def active_alerts(session: Session) -> list[AlertRecord]:
    """The alerts whose condition is met, for however long."""
    return [_record(row) for row in session.execute(_ACTIVE).mappings()]


def lock_alerts(session: Session, alert_ids: Sequence[int]) -> list[AlertRecord]:
    """Some alerts, locked until the transaction ends."""
    return [_record(row) for row in session.execute(_LOCK, {"ids": sorted(alert_ids)}).mappings()]


def lock_subjects(session: Session, keys: Sequence[tuple[str, str]]) -> list[AlertRecord]:
    """The alerts of some rules and subjects, as far as there are any, locked until the transaction ends."""
    if not keys:
        return []
    rules, subjects = zip(*keys, strict=True)
    rows = session.execute(_LOCK_SUBJECTS, {"rules": list(rules), "subjects": list(subjects)}).mappings()
    return [_record(row) for row in rows]


def _record(row: RowMapping) -> AlertRecord:
    return AlertRecord(
        **{
            **row,
            "state": AlertState(row["state"]),
            "severity": AlertSeverity(row["severity"]),
            "recent_firings": tuple(row["recent_firings"]),
        }
    )


def write_changes(session: Session, changes: Iterable[AlertChange], now: datetime) -> dict[int, AlertChange]:
    """Write changes, each only if its alert is still as it was read. Returns those written, by the id of their alert.

    What is lost to a change at the same time is decided anew by the next evaluation.
    """
    wanted = {(each.after.rule, each.after.subject): each for each in changes if each.before != each.after}
    ids: dict[int, AlertChange] = {}
    if known := [each.after.id for each in wanted.values() if each.after.id is not None]:
        session.execute(_LOCK_IN_ORDER, {"ids": known})
    for statement, is_new in ((_INSERT, True), (_UPDATE, False)):
        rows = [_row(each, now) for each in wanted.values() if (each.after.id is None) is is_new]
        if rows:
            written = session.execute(statement, {"rows": msgspec.json.encode(rows).decode()})
            ids |= {row.id: wanted[row.rule, row.subject] for row in written}
    transitions = [_transition(alert_id, each, now) for alert_id, each in ids.items() if each.is_transition]
    if transitions:
        session.execute(_TRANSITIONS, {"rows": msgspec.json.encode(transitions).decode()})
    for each in transitions:
        names = ("alert_id", "rule", "subject", "from_state", "to_state", "value", "changed_by", "reason")
        log.info("alert_changed", **{name: each[name] for name in names})
    return ids


def _row(change: AlertChange, now: datetime) -> dict[str, Any]:
    after = {each.name: getattr(change.after, each.name) for each in fields(AlertRecord)}
    return {**after, "version": change.before.version, "is_transition": change.is_transition, "changed_at": now}


def _transition(alert_id: int, change: AlertChange, now: datetime) -> dict[str, Any]:
    after = change.after
    return {
        "alert_id": alert_id, "rule": after.rule, "subject": after.subject, "episode": after.episode,
        "from_state": change.before.state, "to_state": after.state, "severity": after.severity, "value": after.value,
        "changed_by": change.changed_by, "reason": change.reason, "at": now,
    }  # fmt: skip


def is_active(alert: AlertRecord) -> bool:
    """Whether its condition is met, for however long."""
    return alert.state in ACTIVE_STATES


_ENDED_EPISODES = text("""
select t.alert_id, t.episode, min(t.at) filter (where t.to_state <> 'resolved') as fired_at,
       max(t.at) filter (where t.to_state = 'resolved') as resolved_at,
       (array_agg(t.severity order by t.id desc))[1] as severity, (array_agg(t.value order by t.id desc))[1] as value
from unnest(cast(:ids as bigint[]), cast(:episodes as int[])) as e(alert_id, episode)
join tds_alert_transitions t using (alert_id, episode) where t.to_state in ('firing', 'flapping', 'resolved')
group by 1, 2
""")

#: By alert and episode, an alert as that episode of it ended.
EndedEpisodes = Mapping[tuple[int, int], AlertRecord]


def ended_episodes(session: Session, wanted: Sequence[tuple[AlertRecord, int]]) -> EndedEpisodes:
    """Alerts as episodes before their present one ended: when those fired and ended, how severe. Texts are today's."""
    if not wanted:
        return {}
    alerts = {(alert.id, episode): alert for alert, episode in wanted}
    ids, episodes = zip(*alerts, strict=True)
    found = session.execute(_ENDED_EPISODES, {"ids": list(ids), "episodes": list(episodes)})
    return {
        (row.alert_id, row.episode): replace(
            alerts[row.alert_id, row.episode], state=AlertState.RESOLVED, episode=row.episode,
            fired_at=row.fired_at, resolved_at=row.resolved_at, severity=AlertSeverity(row.severity), value=row.value,
        )
        for row in found
    }  # fmt: skip
