"""Retention: deletes old rows in small batches, so that no table is locked for long."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

BATCH_SIZE = 5000

# By table, its key and the condition for removal. Open events and unresolved dead letters are never removed.
OLD: Mapping[str, tuple[str, str]] = {
    "tds_inbox_events": ("id", "received_at < now() - interval '7 days' and verdict is not null"),
    "tds_inbox_fingerprints": ("fingerprint", "seen_at < now() - interval '1 day'"),
    "tds_rejected_deliveries": ("id", "received_at < now() - interval '7 days'"),
    "tds_unstored_webhooks": ("ctid", "minute < now() - interval '7 days'"),
    "tds_webhook_coverage": ("ctid", "hour_at < now() - interval '90 days'"),
    "tds_webhook_gaps": ("entry_id", "found_at < now() - interval '30 days'"),
    "tds_sync_logs": ("id", "ended_at < now() - interval '90 days'"),
    "tds_schedule_slots": ("ctid", "slot_at < now() - interval '30 days'"),
    "tds_healing_actions": ("id", "acted_at < now() - interval '90 days'"),
    "tds_healing_cycles": ("id", "began_at < now() - interval '90 days'"),
    "tds_listeners": ("process", "ended_at < now() - interval '7 days'"),
    "tds_event_deliveries": ("id", "attempted_at < now() - interval '30 days' and state <> 'failing'"),
    "tds_validation_reports": ("id", "ended_at < now() - interval '30 days'"),
    "tds_sync_run_pages": ("ctid", "read_at < now() - interval '7 days'"),
    "tds_strangers": ("ctid", "told_at < now() - interval '90 days'"),
    "tds_kept_answers": ("ctid", "expires_at < now()"),
    "tds_comparisons": ("id", "ended_at < now() - interval '90 days'"),
    "tds_statistics_history": (
        "ctid",
        "began_at < now() - case grain when 'hour' then interval '35 days' else interval '2 years' end",
    ),
    "tds_uptime_samples": ("ctid", "sampled_at < now() - interval '35 days'"),
    "tds_alert_deliveries": ("id", "created_at < now() - interval '90 days' and state <> 'queued'"),
    "tds_alerts": ("id", "changed_at < now() - interval '90 days' and state in ('ok', 'resolved')"),
    "tds_metrics": ("ctid", "at < now() - interval '30 days'"),
    "tds_operator_sessions": ("ctid", "ends_at < now()"),
}


def remove_old(session: Session, table: str) -> int:
    """Delete up to BATCH_SIZE old rows of `table`. Returns their number; fewer than BATCH_SIZE means none are left."""
    key, condition = OLD[table]
    statement = text(
        f"delete from {table} where {key} in (select {key} from {table} where {condition} limit {BATCH_SIZE})"
    )
    return int(getattr(session.execute(statement), "rowcount", 0))
