"""What must hold for owed work and for the attempts at it: each for a reason, in one pair of hands, ended once."""

from tds_core.verifying.check import Check, Promise

#: How an attempt ends that ends its work item.
ENDS = "('created', 'updated', 'unchanged', 'stale', 'deleted', 'restored', 'dead')"

CHECKS = (
    Check(
        name="work_has_a_reason",
        promise=Promise.DOUBLED,
        says="a work item is there for an open event, or to read its record",
        broken="""
            select q.entity, q.source_id, format('work item %s (generation %s) waits for nothing', q.id,
                q.generation) as found
            from tds_sync_queue q
            where q.origin = 'webhook' and not q.must_read and not exists (
                select from tds_inbox_events e
                where (e.entity, e.source_id, e.source) = (q.entity, q.source_id, q.source)
                  and e.verdict is null and e.generation <= q.generation)""",
        counted="select count(*) from tds_sync_queue",
    ),
    Check(
        name="silent_leases_are_taken_back",
        promise=Promise.LOST,
        says="no lease ran out more than a minute ago, and none lasts for ever",
        broken="""
            select entity, source_id, format('leased by %s until %s', coalesce(leased_by, '(nobody)'),
                leased_until) as found
            from tds_sync_queue
            where leased_until < now() - interval '1 minute' or leased_until > now() + interval '1 day'
            union all
            select entity, null, format('run %s is leased until %s', id, leased_until)
            from tds_sync_runs
            where lease_token is not null
              and (leased_until < now() - interval '1 minute' or leased_until > now() + interval '1 day')""",
        counted="select count(*) from tds_sync_queue where lease_token is not null",
        look="the dispatcher's log; tds health",
    ),
    Check(
        name="work_ends_once",
        promise=Promise.DOUBLED,
        says="no two attempts ended the same generation of a record",
        broken=f"""
            select entity, source_id, format('generation %s ended %s times: %s', generation, count(*),
                string_agg(format('%s by %s', outcome, coalesce(worker, 'nobody')), ', ' order by id)) as found
            from tds_sync_logs where outcome in {ENDS}
            group by source, entity, source_id, generation having count(*) > 1""",
        counted=f"select count(*) from tds_sync_logs where outcome in {ENDS}",
    ),
    Check(
        name="ended_work_is_gone",
        promise=Promise.DOUBLED,
        says="a generation that ended is not owed any more",
        broken=f"""
            select q.entity, q.source_id, format('generation %s ended as %s and is still owed', q.generation,
                l.outcome) as found
            from tds_sync_queue q join tds_sync_logs l using (source, entity, source_id, generation)
            where l.outcome in {ENDS}""",
        counted="select count(*) from tds_sync_queue",
    ),
)
