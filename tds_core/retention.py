"""Retention: what is kept only for a while goes, in small bites, so that no table is locked for long."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

BITE = 5000

# Table, key, condition: the days are the spec's; open events and unresolved letters have no age.
OLD: Mapping[str, tuple[str, str]] = {
    "tds_inbox_events": ("id", "received_at < now() - interval '7 days' and verdict is not null"),
    "tds_inbox_fingerprints": ("fingerprint", "seen_at < now() - interval '1 day'"),
    "tds_rejected_deliveries": ("id", "received_at < now() - interval '7 days'"),
    "tds_unstored_webhooks": ("ctid", "minute < now() - interval '7 days'"),
    "tds_sync_logs": ("id", "ended_at < now() - interval '90 days'"),
    "tds_schedule_slots": ("ctid", "slot_at < now() - interval '30 days'"),
    "tds_healing_actions": ("id", "acted_at < now() - interval '90 days'"),
    "tds_healing_cycles": ("id", "began_at < now() - interval '90 days'"),
    "tds_listeners": ("process", "ended_at < now() - interval '7 days'"),
    "tds_event_deliveries": ("id", "attempted_at < now() - interval '30 days' and state <> 'failing'"),
    "tds_sync_run_pages": ("ctid", "read_at < now() - interval '7 days'"),
    "tds_strangers": ("ctid", "told_at < now() - interval '90 days'"),
    "tds_kept_answers": ("ctid", "expires_at < now()"),
    "tds_operator_sessions": ("ctid", "ends_at < now()"),
}


def remove_old(session: Session, table: str) -> int:
    """Remove up to BITE old rows of `table`. Returns how many; fewer than BITE means it is done."""
    key, condition = OLD[table]
    statement = text(f"delete from {table} where {key} in (select {key} from {table} where {condition} limit {BITE})")
    return int(getattr(session.execute(statement), "rowcount", 0))
