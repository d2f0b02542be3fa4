"""Retention: deletes old rows in small batches, so that no table is locked for long.

Partitioned tables lose whole partitions instead (`tds_core.partitions`), and here old rows beside new ones.
"""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.partitions import PartitionedTable

BATCH_SIZE = 5000

# By table, its key and the condition for removal. Open events and unresolved dead letters are never removed.
OLD: Mapping[str, tuple[str, str]] = {
    "tds_inbox_fingerprints": ("fingerprint", "seen_at < now() - interval '1 day'"),
    "tds_rejected_deliveries": ("id", "received_at < now() - make_interval(days => :events)"),
    "tds_unstored_webhooks": ("ctid", "minute < now() - interval '7 days'"),
    "tds_webhook_coverage": ("ctid", "hour_at < now() - interval '90 days'"),
    "tds_webhook_gaps": ("entry_id", "found_at < now() - interval '30 days'"),
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
    "tds_replay_batches": ("id", "ended_at < now() - interval '90 days'"),
    "tds_operator_sessions": ("ctid", "ends_at < now()"),
}


def remove_old(session: Session, table: str, days: Mapping[str, int]) -> int:
    """Delete up to BATCH_SIZE old rows of `table`. Returns their number; fewer than BATCH_SIZE means none are left.

    `days`: how long events, attempts and metrics are kept, as the settings say.
    """
    key, condition = OLD[table]
    return _remove(session, table, key, condition, days)


def remove_old_rows(session: Session, table: PartitionedTable, partition: str, *, days: int) -> int:
    """Delete up to BATCH_SIZE finished rows of one partition of `table` that are more than `days` old.

    Returns their number; fewer than BATCH_SIZE means none are left.
    """
    condition = f"{table.key} < now() - make_interval(days => :days) and {table.is_finished}"
    return _remove(session, partition, table.row_key, condition, {"days": days})


def _remove(session: Session, table: str, key: str, condition: str, params: Mapping[str, int]) -> int:
    # The condition stands outside, too, since a row that somebody is changing is waited for: it alone is judged again.
    statement = text(
        f"delete from {table} where {key} in (select {key} from {table} where {condition} limit {BATCH_SIZE})"
        f" and {condition}"
    )
    return int(getattr(session.execute(statement, params), "rowcount", 0))
