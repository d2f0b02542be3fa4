"""Deliveries: stores what the plan wants, claims what is due, and records the result of each attempt.

A delivery is claimed under a lease, in a transaction that holds the row of its alert: what was acknowledged, resolved
or silenced by then is not sent. After a crash between sending and recording it is sent again, with the same id. A
lease token that was never cleared means: it may have arrived.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.alerts.alert_store import EndedEpisodes, ended_episodes, lock_alerts
from tds_core.alerts.channels.sending import SendOutcome
from tds_core.alerts.delivery_plan import (
    AFTERMATH,
    GROUP_INTERVAL,
    NOTIFIED_STATES,
    CauseSeverities,
    ChannelHistory,
    ChannelTerms,
    DeliverySummary,
    PlannedDelivery,
    rank_of,
    suppression,
)
from tds_core.alerts.silences import open_silences, silences_on
from tds_core.alerts.state_machine import AlertRecord
from tds_models.alerts import AlertDeliveryState, AlertMessageKind, AlertSeverity

LEASE = timedelta(seconds=60)
#: Seconds before the second, third, ... attempt; after the last of them a delivery is given up.
BACKOFF_SECONDS = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
LONGEST_WAIT_SECONDS = 28_800
#: More groups than this at once go out as one message.
MOST_GROUPS = 5
MOST_AT_ONCE = 1000

_CHANNELS = text("""
select id, name, minimum_severity, after_seconds, reminder_seconds, quiet_hours, time_zone
from tds_alert_channels where is_enabled and deleted_at is null order by after_seconds, id
""")
_SUMMARIES = text("""
select d.alert_id, d.channel_id,
       max(d.state) filter (where d.kind = 'firing') as state, max(d.reason) filter (where d.kind = 'firing') as reason,
       max(d.sent_at) as sent_at, count(*) filter (where d.kind = 'reminder') as reminder_count,
       bool_or(d.kind = 'reminder' and d.state = 'queued') as has_open_reminder
from tds_alert_deliveries d join tds_alerts a on a.id = d.alert_id and a.episode = d.episode
where a.state in ('firing', 'flapping') and d.kind <> 'resolved' group by d.alert_id, d.channel_id
""")
_STORE = text("""
insert into tds_alert_deliveries as d (alert_id, episode, channel_id, kind, number, state, reason)
select alert_id, episode, channel_id, kind, number, state, reason from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    alert_id bigint, episode int, channel_id bigint, kind text, number int, state text, reason text)
on conflict (alert_id, episode, channel_id, kind, number) do update set
    state = excluded.state, reason = excluded.reason, next_attempt_at = now()
where d.state in ('suppressed', 'superseded') and d.kind = 'firing'
""")
# An attempt that nobody saw the end of may have arrived, whatever became of those after it.
_ARRIVED = """({0}state = 'sent' or {0}lease_token is not null or {0}tries @> '[{{"may_have_arrived": true}}]')"""
# Those that got the firing, or may have got it before a crash, get the end; for the others both are void.
_CONCLUDE = text(f"""
with told as (
    select distinct alert_id, episode, channel_id from tds_alert_deliveries
    where (alert_id, episode) in (select * from unnest(cast(:ids as bigint[]), cast(:episodes as int[])))
      and kind <> 'resolved' and {_ARRIVED.format("")}
), void as (
    update tds_alert_deliveries set state = 'superseded', reason = 'resolved'
    where (alert_id, episode) in (select * from unnest(cast(:ids as bigint[]), cast(:episodes as int[])))
      and kind <> 'resolved' and state in ('queued', 'suppressed') and lease_token is null
)
insert into tds_alert_deliveries (alert_id, episode, channel_id, kind) select alert_id, episode, channel_id, 'resolved'
from told on conflict do nothing
""")


@dataclass(slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery under way, with its alert as it stands; of an episode before, with its times and severity of then."""

    id: int
    alert: AlertRecord
    episode: int
    kind: AlertMessageKind
    number: int
    reason: str | None
    attempts: int
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class ClaimedMessage:
    """Deliveries to one channel that go out as one message. `lease_token`: what recording its result must show."""

    message_id: UUID
    lease_token: UUID
    channel_id: int
    kind: AlertMessageKind
    deliveries: list[ClaimedDelivery] = field(default_factory=list)


def channel_terms(session: Session) -> list[ChannelTerms]:
    """The channels that get messages, the first step of escalation first."""
    return [
        ChannelTerms(**{**row, "minimum_severity": AlertSeverity(row["minimum_severity"])})
        for row in session.execute(_CHANNELS).mappings()
    ]


_CAUSES = text("""
select distinct rule, severity from tds_alerts
where rule in (select muted_by from tds_alerts where muted_by is not null)
  and (state in ('pending', 'firing', 'acknowledged', 'flapping') or resolved_at > now() - :aftermath)
""")


def cause_severities(session: Session) -> CauseSeverities:
    """How severe the causes are that mute alerts now."""
    worst: dict[str, AlertSeverity] = {}
    for row in session.execute(_CAUSES, {"aftermath": AFTERMATH}):
        severity = AlertSeverity(row.severity)
        worst[row.rule] = max(severity, worst.get(row.rule, severity), key=rank_of)
    return worst


_RECENT = text("""
select distinct a.rule, d.channel_id from tds_alert_deliveries d join tds_alerts a on a.id = d.alert_id
where d.kind = 'firing' and d.state in ('queued', 'sent') and d.created_at > now() - :span
""")


def channel_history(session: Session) -> ChannelHistory:
    """What the channels got of the alerts that fire."""
    recent = session.execute(_RECENT, {"span": GROUP_INTERVAL})
    groups = {(row.rule, row.channel_id) for row in recent}
    return ChannelHistory(summaries=_summaries(session), recent_groups=groups)


def _summaries(session: Session) -> dict[tuple[int, int], DeliverySummary]:
    return {
        (row["alert_id"], row["channel_id"]): DeliverySummary(
            state=AlertDeliveryState(row["state"]),
            reason=row["reason"],
            sent_at=row["sent_at"],
            reminder_count=row["reminder_count"],
            has_open_reminder=row["has_open_reminder"],
        )
        for row in session.execute(_SUMMARIES).mappings()
        if row["state"] is not None
    }


def store(session: Session, planned: Sequence[PlannedDelivery]) -> None:
    """Store planned deliveries; of one that exists, a suppressed or superseded firing changes its state."""
    if planned:
        session.execute(_STORE, {"rows": msgspec.json.encode(planned).decode()})


def conclude(session: Session, resolved: Iterable[AlertRecord]) -> None:
    """Queue the end of alerts for the channels that got their firing; what was not sent yet is void."""
    rows = [(alert.id, alert.episode) for alert in resolved]
    if rows:
        ids, episodes = zip(*rows, strict=True)
        session.execute(_CONCLUDE, {"ids": list(ids), "episodes": list(episodes)})


# Alerts are locked before deliveries wherever both are, so that no two transactions wait for each other.
# That something is over waits for the end of quiet hours, unless it is critical: then its firing was told in them, too.
_DUE = text("""
select d.id, d.alert_id from tds_alert_deliveries d join tds_alert_channels c on c.id = d.channel_id
    join tds_alerts a on a.id = d.alert_id
where d.state = 'queued' and d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())
  and c.is_enabled and c.deleted_at is null and d.channel_id <> all(cast(:busy as bigint[]))
  and not (d.kind = 'resolved' and a.severity <> 'critical' and d.channel_id = any(cast(:quiet as bigint[])))
order by d.attempts, d.id limit :limit
""")
_CANDIDATES = text(f"""
select d.id, d.alert_id, d.episode, d.channel_id, d.kind, d.number, d.reason, d.message_id, d.attempts, d.created_at,
       exists (select from tds_alert_deliveries f where f.alert_id = d.alert_id and f.episode = d.episode
          and f.channel_id = d.channel_id and f.kind <> 'resolved' and {_ARRIVED.format("f.")}) as was_told
from tds_alert_deliveries d
where d.id = any(:ids) and d.state = 'queued' and (d.leased_until is null or d.leased_until <= now())
order by d.id for update of d skip locked
""")
_UNDER_WAY = text("""
select distinct alert_id, channel_id from tds_alert_deliveries
where alert_id = any(:alerts) and kind <> 'resolved' and state = 'queued' and leased_until > now()
""")
_LEASE = text("""
update tds_alert_deliveries set lease_token = :token, leased_until = now() + :lease, message_id = :message_id,
    attempts = attempts + 1, tries = case when lease_token is null then tries else tries || jsonb_build_array(
        jsonb_build_object('attempt', attempts, 'error', 'interrupted', 'may_have_arrived', true)) end
where id = any(:ids)
""")
_SET_STATE = text("""
update tds_alert_deliveries d set state = r.state, reason = r.reason, leased_until = null
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id bigint, state text, reason text) where d.id = r.id
""")
_VOID_FIRINGS = text("""
update tds_alert_deliveries set state = 'superseded', reason = 'resolved', leased_until = null
where kind <> 'resolved' and state = 'queued' and (leased_until is null or leased_until <= now())
  and (alert_id, episode, channel_id) in (
      select alert_id, episode, channel_id from tds_alert_deliveries where id = any(:ids))
""")


def claim(session: Session, now: datetime, *, limit: int, busy: Collection[int] = ()) -> list[ClaimedMessage]:
    """Claim up to `limit` messages that are due, and put aside what is no longer true. One transaction; then send.

    One message for each channel, and none for those that are `busy`, so a channel that hangs holds up no other. The
    worst goes first, and what was not tried yet before what was; of one alert the end of an episode before the next.
    """
    channels = {channel.id: channel for channel in channel_terms(session)}
    quiet = [channel.id for channel in channels.values() if channel.is_quiet(now)]
    due = session.execute(_DUE, {"limit": MOST_AT_ONCE, "busy": list(busy), "quiet": quiet}).all()
    if not due:
        return []
    alerts = {alert.id: alert for alert in lock_alerts(session, sorted({row.alert_id for row in due}))}
    rows = session.execute(_CANDIDATES, {"ids": [row.id for row in due]}).mappings().all()
    to_send = _in_order(_still_true(session, rows, alerts, channels, now))
    groups = _one_each(_groups(to_send, alerts), alerts)[:limit]
    chosen = [row for group in groups for row in group]
    if ends := [row["id"] for row in chosen if row["kind"] == AlertMessageKind.RESOLVED]:
        session.execute(_VOID_FIRINGS, {"ids": ends})
    earlier = [row for row in chosen if alerts[row["alert_id"]].episode != row["episode"]]
    ended = ended_episodes(session, [(alerts[row["alert_id"]], row["episode"]) for row in earlier])
    return [_lease(session, group, alerts, ended) for group in groups]


def _still_true(
    session: Session,
    rows: Sequence[RowMapping],
    alerts: Mapping[int | None, AlertRecord],
    channels: Mapping[int, ChannelTerms],
    now: datetime,
) -> list[RowMapping]:
    """The deliveries that may be sent; what is no longer true is put aside."""
    under_way = {tuple(row) for row in session.execute(_UNDER_WAY, {"alerts": list(alerts)})}
    silences, causes = silences_on(open_silences(session, now), now), cause_severities(session)
    to_send, aside = [], []
    for row in rows:
        if row["kind"] == AlertMessageKind.RESOLVED and (row["alert_id"], row["channel_id"]) in under_way:
            continue  # its firing may still arrive: not before it
        channel = channels.get(row["channel_id"])
        if channel is None:
            continue  # switched off meanwhile
        alert = alerts[row["alert_id"]]
        verdict = _verdict(row, alert, suppression(alert, channel, silences, causes, now))
        if verdict is None:
            to_send.append(row)
        else:
            aside.append({"id": row["id"], "state": verdict[0], "reason": verdict[1]})
    if aside:
        session.execute(_SET_STATE, {"rows": msgspec.json.encode(aside).decode()})
    return to_send


def _in_order(rows: Sequence[RowMapping]) -> list[RowMapping]:
    """Without those that begin while the same alert's end before them is still to be sent.

    A receiver that knows an alert by its number, as PagerDuty does, would take that end for the end of the new one.
    """
    ending = {(row["alert_id"], row["channel_id"]) for row in rows if row["kind"] == AlertMessageKind.RESOLVED}
    return [
        row
        for row in rows
        if row["kind"] == AlertMessageKind.RESOLVED or (row["alert_id"], row["channel_id"]) not in ending
    ]


def _verdict(row: RowMapping, alert: AlertRecord, why_not: str | None) -> tuple[AlertDeliveryState, str] | None:
    """What becomes of a delivery instead of being sent, and why; None: it is sent."""
    if row["kind"] == AlertMessageKind.RESOLVED:
        return None if row["was_told"] else (AlertDeliveryState.SUPERSEDED, "its firing was not sent")
    if alert.episode != row["episode"] or alert.state not in NOTIFIED_STATES:
        return AlertDeliveryState.SUPERSEDED, str(alert.state)
    if why_not:
        is_first = row["kind"] == AlertMessageKind.FIRING
        return (AlertDeliveryState.SUPPRESSED if is_first else AlertDeliveryState.SUPERSEDED), why_not
    return None


def _groups(rows: Sequence[RowMapping], alerts: dict[int | None, AlertRecord]) -> list[list[RowMapping]]:
    """Rows by message: those of one message before stay together, new ones by channel, kind and rule."""
    again: dict[Any, list[RowMapping]] = defaultdict(list)
    new: dict[Any, dict[str, list[RowMapping]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["message_id"]:
            again[row["channel_id"], row["message_id"]].append(row)
        else:
            new[row["channel_id"], row["kind"]][alerts[row["alert_id"]].rule].append(row)
    groups = list(again.values())
    for by_rule in new.values():
        together = [row for each in by_rule.values() for row in each]
        groups += by_rule.values() if len(by_rule) <= MOST_GROUPS else [together]
    return groups


def _one_each(groups: Sequence[list[RowMapping]], alerts: Mapping[int | None, AlertRecord]) -> list[list[RowMapping]]:
    """The most urgent group of each channel."""

    def urgency(rows: list[RowMapping]) -> tuple[int, int, int]:
        worst = max(rank_of(alerts[row["alert_id"]].severity) for row in rows)
        return min(row["attempts"] for row in rows), -worst, rows[0]["id"]

    first: dict[int, list[RowMapping]] = {}
    for rows in sorted(groups, key=urgency):
        first.setdefault(rows[0]["channel_id"], rows)
    return list(first.values())


def _lease(
    session: Session, rows: list[RowMapping], alerts: Mapping[int | None, AlertRecord], ended: EndedEpisodes
) -> ClaimedMessage:
    message = ClaimedMessage(
        message_id=rows[0]["message_id"] or uuid4(),
        lease_token=uuid4(),
        channel_id=rows[0]["channel_id"],
        kind=AlertMessageKind(rows[0]["kind"]),
    )
    params = {"ids": [row["id"] for row in rows], "message_id": message.message_id, "token": message.lease_token}
    session.execute(_LEASE, {**params, "lease": LEASE})
    names = ("id", "episode", "number", "reason", "created_at")
    message.deliveries = [
        ClaimedDelivery(
            alert=ended.get((row["alert_id"], row["episode"]), alerts[row["alert_id"]]),
            kind=AlertMessageKind(row["kind"]),
            attempts=row["attempts"] + 1,
            **{name: row[name] for name in names},
        )
        for row in rows
    ]
    return message


_SENT = text("""
update tds_alert_deliveries set state = 'sent', sent_at = now(), lease_token = null, leased_until = null,
    tries = tries || cast(:try as jsonb) where id = any(:ids) and lease_token = :token
""")
_FAILED = text("""
update tds_alert_deliveries set tries = tries || cast(:try as jsonb), lease_token = null, leased_until = null,
    state = case when :is_last then 'failed' else 'queued' end,
    next_attempt_at = now() + make_interval(secs => :wait)
where id = any(:ids) and lease_token = :token
""")
_CHANNEL_SENT = text("""
update tds_alert_channels set failure_count = 0, failing_since = null, last_error = null, sent_at = now()
where id = :id
""")
_CHANNEL_FAILED = text("""
update tds_alert_channels set failure_count = failure_count + 1, failing_since = coalesce(failing_since, now()),
    last_error = :error where id = :id
""")


def record(session: Session, message: ClaimedMessage, outcome: SendOutcome) -> None:
    """Record an attempt to send a message.

    Another process that took the message over after this one's lease keeps its own result.
    """
    attempts = max((each.attempts for each in message.deliveries), default=1)
    wait = max(BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS)) - 1], outcome.retry_after_seconds)
    attempt: dict[str, Any] = {
        "attempt": attempts,
        "error": outcome.error,
        "seconds": round(outcome.duration_seconds, 3),
    }
    if outcome.may_have_arrived:
        attempt["may_have_arrived"] = True
    params: dict[str, Any] = {"ids": [each.id for each in message.deliveries], "token": message.lease_token}
    params["try"] = msgspec.json.encode([attempt]).decode()
    if outcome.is_sent:
        session.execute(_SENT, params)
        session.execute(_CHANNEL_SENT, {"id": message.channel_id})
    else:
        is_last = outcome.is_permanent or attempts > len(BACKOFF_SECONDS)
        session.execute(_FAILED, {**params, "is_last": is_last, "wait": min(wait, LONGEST_WAIT_SECONDS)})
        session.execute(_CHANNEL_FAILED, {"id": message.channel_id, "error": (outcome.error or "")[:500]})
