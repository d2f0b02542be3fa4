"""History refuses edits; views and functions for operators"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = """
create function tds_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;
create trigger tds_audit_trail_append_only before update or delete on tds_audit_trail
    for each row execute function tds_refuse_change();
create trigger tds_audit_trail_no_truncate before truncate on tds_audit_trail
    for each statement execute function tds_refuse_change();
"""

VIEWS = """
create view tds_v_active_queue as
    select id, source, entity, source_id, priority, attempts, snoozes, crashes, next_attempt_at, leased_by, leased_until,
           case when lease_token is not null then 'leased'
                when next_attempt_at > now() then 'waiting' else 'due' end as state,
           extract(epoch from now() - created_at) as age_seconds, last_error, correlation_id
    from tds_sync_queue;
create view tds_v_unresolved_dlq as
    select id, source, entity, source_id, error_class, error, fingerprint, attempts, priority, dead_at,
           extract(epoch from now() - dead_at) as age_seconds, correlation_id
    from tds_dead_letter_queue where resolved_at is null;
create view tds_v_recent_sync_performance as
    select entity, mode, count(*) as run_count,
           count(*) filter (where state = 'completed') as completed_count,
           count(*) filter (where state = 'failed') as failed_count,
           sum(fetched_count) as fetched_count, sum(api_call_count) as api_call_count,
           avg(extract(epoch from ended_at - started_at)) as average_seconds, max(ended_at) as last_ended_at
    from tds_sync_runs where requested_at > now() - interval '24 hours' group by entity, mode;
"""

FUNCTIONS = """
create function tds_get_queue_stats()
returns table (entity text, due_count bigint, waiting_count bigint, leased_count bigint, oldest_due_seconds double precision)
language sql stable as $$
    select entity,
           count(*) filter (where lease_token is null and next_attempt_at <= now()),
           count(*) filter (where lease_token is null and next_attempt_at > now()),
           count(*) filter (where lease_token is not null),
           coalesce(extract(epoch from now() - min(next_attempt_at) filter (where lease_token is null and next_attempt_at <= now())), 0)::float8
    from tds_sync_queue group by entity order by entity $$;
create function tds_get_health_summary()
returns table (name text, value double precision) language sql stable as $$
    select 'queue_depth', count(*)::float8 from tds_sync_queue
    union all select 'oldest_due_seconds', coalesce(max(oldest_due_seconds), 0) from tds_get_queue_stats()
    union all select 'dead_letters', count(*)::float8 from tds_dead_letter_queue where resolved_at is null
    union all select 'events_without_verdict', count(*)::float8 from tds_inbox_events where verdict is null
    union all select 'open_runs', count(*)::float8 from tds_sync_runs where state in ('queued', 'running') $$;
"""


def upgrade() -> None:
    op.execute(APPEND_ONLY)
    op.execute(VIEWS)
    op.execute(FUNCTIONS)


def downgrade() -> None:
    op.execute("drop function tds_get_health_summary()")
    op.execute("drop function tds_get_queue_stats()")
    op.execute("drop view tds_v_recent_sync_performance, tds_v_unresolved_dlq, tds_v_active_queue")
    op.execute("drop trigger tds_audit_trail_no_truncate on tds_audit_trail")
    op.execute("drop trigger tds_audit_trail_append_only on tds_audit_trail")
    op.execute("drop function tds_refuse_change()")
