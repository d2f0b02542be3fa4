"""Manual interventions: which operations of people repair data, and which of them happened lately."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, TypedDict

from sqlalchemy import text
from sqlalchemy.orm import Session

#: Operations by which a person puts data right, or gets work going again that had stopped, by HTTP and as a command.
REPAIRS: Final = frozenset({
    "breakers.reset", "breakers.reset_all", "cli.breakers.reset",
    "cursors.put", "cli.cursors.set",
    "dead_letters.edit", "cli.letters.edit",
    "dead_letters.imported", "cli.letters.import",
    "dead_letters.resolve", "cli.letters.resolve",
    "dead_letters.retry", "cli.letters.retry",
    "dead_letters.retry_8", "cli.letters.retry_many",
    "auto-healing.run", "cli.heal.run",
    "reception.again", "cli.webhooks.replay", "replays.begin", "cli.webhooks.replay_many",
    "runs.start",
    "runs.approve", "cli.runs.approve",
    "runs.reject", "cli.runs.reject",
    "syncs.sync", "cli.sync", "syncs.sync_all", "syncs.stock_now", "syncs.stock_of",
    "syncs.repair", "cli.repair", "comparison.sync_differences", "cli.compare.repair",
    "cli.zoho.adopt", "cli.zoho.retry",
    "deletions.mark", "cli.delete", "deletions.remove", "cli.zoho.foreign_rows",
})  # fmt: skip
#: Operations that change how TDS is set up or who may use it, or only look: no record is put right by them.
OTHER: Final = frozenset({
    "alerts.acknowledge", "cli.alerts.acknowledge", "alerts.unacknowledge", "cli.alerts.unacknowledge",
    "alerts.silence", "cli.alerts.silence", "alerts.resolve", "cli.alerts.resolve", "alerts.prometheus",
    "alert-silences.create", "cli.alerts.silences.create", "alert-silences.preview",
    "alert-silences.end", "cli.alerts.silences.end", "alert-silences.extend", "cli.alerts.silences.extend",
    "alert-channels.create", "cli.alerts.channels.add", "alert-channels.change", "cli.alerts.channels.change",
    "alert-channels.delete", "cli.alerts.channels.remove", "alert-channels.rotate", "cli.alerts.channels.rotate",
    "alert-channels.test", "cli.alerts.channels.test",
    "alert-rules.change", "cli.alerts.rules.set", "alert-rules.reset", "cli.alerts.rules.reset",
    "connecting.begin", "dashboard_actions.do", "former_address",
    "configuration.change", "cli.config.set", "cli.config.unset",
    "comparison.start", "cli.compare", "comparison.cancel", "cli.compare.cancel",
    "dead_letters.assign", "cli.letters.assign", "dead_letters.cancel", "cli.letters.cancel", "dead_letters.look",
    "findings.resolve", "cli.findings.resolve",
    "keys.create", "cli.keys.create", "keys.revoke", "cli.keys.revoke",
    "login.log_in", "session.log_in", "session.log_out", "session.change_password",
    "operators.create", "cli.operators.create", "operators.change", "cli.operators.role", "cli.operators.password",
    "operators.disable", "cli.operators.disable", "cli.operators.enable",
    "sessions.end", "sessions.end_all", "sessions.end_own", "sessions.end_all_own", "cli.operators.end_sessions",
    "reveals.reveal", "reveals.conceal",
    "replays.look", "replays.cancel", "cli.webhooks.cancel_replay",
    "runs.cancel", "cli.runs.cancel", "audit.reseal", "cli.audit.reseal",
    "schedules.change", "cli.schedules.set", "cli.schedules.missed", "schedules.pause", "cli.schedules.pause",
    "schedules.resume", "cli.schedules.resume", "schedules.run", "cli.schedules.run",
    "erasures.find", "erasures.erase", "cli.erase.person",
    "validation.validate",
    "subscriptions.create", "cli.subscriptions.create", "subscriptions.delete", "cli.subscriptions.delete",
    "subscriptions.pause", "cli.subscriptions.pause", "subscriptions.resume", "cli.subscriptions.resume",
    "subscriptions.rotate", "cli.subscriptions.rotate", "subscriptions.replay", "cli.subscriptions.replay",
    "subscriptions.test", "cli.subscriptions.test",
    "work.pause", "cli.queue.pause", "work.resume", "cli.queue.resume",
    "cli.migrate_from.compare", "cli.migrate_from.promote", "cli.migrate_from.fallback",
    "cli.zoho.connect", "cli.zoho.rotate_key",
    "cli.secret_key.give_up", "cli.zoho.webhooks.install", "cli.zoho.webhooks.remove",
})  # fmt: skip

# A beginning counts like its end, so an action whose process died counts; one that was refused changed nothing, and
# neither did one that only asked what would be: a repair of differences is a dry run unless it says otherwise.
_REPAIRS_SINCE = text("""
select a.operation, a.subject, a.caller, a.recorded_at, count(*) over () as action_count
from tds_operator_actions a
where a.recorded_at >= :since and a.operation = any(:operations) and a.outcome in ('done', 'failed', 'begun')
  and not (a.outcome = 'begun' and exists (
      select from tds_operator_actions e where e.begun_id = a.id))
  and coalesce(a.detail ->> 'mode', '') <> 'dry_run'
  and not (a.operation = 'comparison.sync_differences'
      and lower(coalesce(a.detail ->> 'dry_run', 'true')) not in ('false', 'f', '0', 'no', 'n', 'off'))
order by a.recorded_at desc limit 1
""")


class Interventions(TypedDict):
    """How many repairs of people there were since a moment, and the last of them; None without any."""

    action_count: int
    last_operation: str | None
    last_subject: str | None
    last_caller: str | None
    last_at: datetime | None


def interventions(session: Session, *, since: datetime, operations: Iterable[str] = REPAIRS) -> Interventions:
    """The repairs of people since `since`: those that were done, failed half way, or are under way."""
    row: Any = session.execute(_REPAIRS_SINCE, {"since": since, "operations": sorted(operations)}).first()
    if row is None:
        return Interventions(action_count=0, last_operation=None, last_subject=None, last_caller=None, last_at=None)
    return Interventions(
        action_count=row.action_count, last_operation=row.operation, last_subject=row.subject,
        last_caller=row.caller, last_at=row.recorded_at,
    )  # fmt: skip
