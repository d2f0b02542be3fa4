"""Matching: the SQL that holds changes against the webhooks that should have announced them.

A change is an entry of the history that a record's time of change moved with. The later readings of the same time of
change (the details behind a list row, the rest of a partial body) complete it and are not counted again.
"""

from sqlalchemy import text

#: How far the clocks of the source and of the database may be apart; a webhook takes that long in any case.
GRACE_SECONDS = 60.0
#: An event that an operator wrote; the source announced nothing.
EDITED = "edited"

# The operation is also the event that announces it.
_MEASURED = "('created', 'updated', 'deleted')"

# A deletion may have been at any time since the record was seen last.
_SINCE = """case
    when f.operation = 'deleted' then coalesce(f.previous_at, f.found_at - interval '1 day') else f.changed_at end"""
#: Whether webhook `e` names the state that change `f` came to, or for a deletion, the deletion.
_NAMES = f"""case
    when f.operation = 'deleted' then e.event = 'deleted'
        and e.received_at >= {_SINCE} - p.grace
    when e.event = 'deleted' then false
    when e.source_modified_at is null or f.source_modified_at is null then e.received_at >= f.changed_at - p.grace
    else e.source_modified_at >= f.source_modified_at end"""
#: The same for a webhook that came later: a newer state is another change, and so is what changed the row.
_NAMES_LATER = """case
    when f.operation = 'deleted' then e.event = 'deleted'
    when e.event = 'deleted' then false
    when e.source_modified_at is null or f.source_modified_at is null then coalesce(e.verdict = 'unchanged', false)
    else e.source_modified_at = f.source_modified_at end"""
_DEADLINE = "greatest(f.found_at, f.changed_at + p.grace)"

#: The next changes behind :after, judged, counted by entity, operation and hour, and the gaps among them kept. Returns
#: one row. An entry younger than :settle seconds, and all behind it, are left for later: webhooks may be on their way.
JUDGE = text(f"""
with p as (
    select make_interval(secs => :grace) as grace, make_interval(secs => :settle) as settle
), chunk as materialized (
    select id, source, entity, source_id, version, operation, origin, origin_id, correlation_id, source_modified_at,
           recorded_at as found_at
    from tds_audit_trail where id > :after and id <= :upto order by id limit :limit
), ripe as materialized (
    select * from chunk where id < coalesce(
        (select min(id) from chunk, p where found_at > now() - p.settle), 9223372036854775807)
), f as materialized (
    select r.*, b.recorded_at as previous_at,
           least(coalesce(r.source_modified_at, r.found_at), r.found_at) as changed_at
    from ripe r
    join tds_webhook_rules s on (s.source, s.entity, s.event) = (r.source, r.entity, r.operation)
    left join tds_audit_trail b
        on (b.entity, b.source_id, b.source, b.version) = (r.entity, r.source_id, r.source, r.version - 1)
    where r.operation in {_MEASURED} and r.origin <> 'fed'
      and s.begins_at <= least(coalesce(r.source_modified_at, r.found_at), r.found_at)
      and not coalesce(r.operation = 'updated' and r.source_modified_at <= b.source_modified_at, false)
      and not (r.origin = 'operator' and exists (
          select from tds_inbox_events e where e.id = r.origin_id and e.event = '{EDITED}'))
      -- Nobody knows when a record went that no list shows any more: another full pass must have shown it since.
      and (r.operation <> 'deleted' or r.origin = 'webhook' or exists (
          select from tds_sync_runs l
          where l.source = r.source and l.entity = r.entity and l.mode = 'full' and l.state = 'completed'
            and l.started_at >= :first_webhook_at and l.ended_at <= r.found_at
            and l.correlation_id <> r.correlation_id))
), judged as materialized (
    select f.*, e.told_at, case when e.told_at is null then coalesce(x.reason, e.other) end as reason,
        case when f.origin = 'webhook' then 'webhook' when e.in_time then 'in_time'
             when e.told_at is not null then 'late'
             when coalesce(x.reason, e.other) is not null then 'wrong' else 'never' end as verdict
    from f cross join p
    left join lateral (
        select bool_or({_NAMES} and e.received_at <= {_DEADLINE}) as in_time,
               min(e.received_at) filter (where {_NAMES_LATER} and e.received_at > {_DEADLINE}) as told_at,
               min(case when e.event = 'deleted' then 'deleted' else 'older_state' end) filter (
                   where f.operation <> 'deleted' and e.received_at between f.changed_at and f.found_at + p.grace
                     and (e.event = 'deleted' or e.source_modified_at < f.source_modified_at)) as other
        from tds_inbox_events e
        where e.entity = f.entity and e.source_id = f.source_id and e.source = f.source and e.event <> '{EDITED}'
          and f.origin <> 'webhook'
    ) e on true
    left join lateral (
        select x.reason from tds_rejected_deliveries x
        where x.entity = f.entity and x.source_id = f.source_id and f.origin <> 'webhook'
          and x.received_at between {_SINCE} - p.grace and f.found_at + p.grace
        order by x.id limit 1
    ) x on true
), gaps as (
    insert into tds_webhook_gaps (entry_id, source, entity, source_id, operation, origin, correlation_id,
                                  source_modified_at, changed_at, found_at, verdict, reason, told_at)
    select id, source, entity, source_id, operation, origin, correlation_id, source_modified_at, changed_at, found_at,
           verdict, case when verdict = 'wrong' then reason end, told_at
    from judged where verdict not in ('webhook', 'in_time')
    on conflict (entry_id) do nothing
), counted as (
    insert into tds_webhook_coverage as c (source, entity, operation, hour_at, webhook_count, in_time_count, late_count,
                                           never_count, wrong_count)
    select source, entity, operation, date_trunc('hour', changed_at),
           count(*) filter (where verdict = 'webhook'), count(*) filter (where verdict = 'in_time'),
           count(*) filter (where verdict = 'late'), count(*) filter (where verdict = 'never'),
           count(*) filter (where verdict = 'wrong')
    from judged group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (source, entity, operation, hour_at) do update set
        webhook_count = c.webhook_count + excluded.webhook_count,
        in_time_count = c.in_time_count + excluded.in_time_count,
        late_count = c.late_count + excluded.late_count, never_count = c.never_count + excluded.never_count,
        wrong_count = c.wrong_count + excluded.wrong_count, counted_at = now()
), told as (
    update tds_webhook_rules s set last_told_at = greatest(s.last_told_at, n.at)
    from (select source, entity, operation, max(changed_at) as at from judged where verdict <> 'never' group by 1, 2, 3
    ) n where (s.source, s.entity, s.event) = (n.source, n.entity, n.operation)
)
select (select count(*) from ripe) as read_count, (select count(*) from judged) as change_count,
       (select count(*) from judged where verdict not in ('webhook', 'in_time')) as gap_count,
       case when (select count(*) from chunk) = :limit or (select count(*) from chunk) > (select count(*) from ripe)
            then coalesce((select max(id) from ripe), :after) else :upto end as entry_id
""")

#: Gaps whose webhook was received after :since become late; each event of each entity gets the time it was last heard.
#: Returns how many gaps did.
ARRIVE = text(f"""
with p as (
    select make_interval(secs => :grace) as grace
), e as materialized (
    select source, entity, source_id, event, source_modified_at, received_at, verdict from tds_inbox_events
    where received_at > :since and source_id is not null and event <> '{EDITED}'
), late as materialized (
    select f.entry_id, f.source, f.entity, f.operation, f.changed_at, f.verdict, min(e.received_at) as told_at
    from e join tds_webhook_gaps f on (f.source, f.entity, f.source_id) = (e.source, e.entity, e.source_id)
    cross join p
    where f.verdict <> 'late' and e.received_at > {_DEADLINE} and {_NAMES_LATER}
    group by 1
), flipped as (
    update tds_webhook_gaps g set verdict = 'late', reason = null, told_at = l.told_at
    from late l where g.entry_id = l.entry_id
), counted as (
    update tds_webhook_coverage c set late_count = c.late_count + n.late_count, counted_at = now(),
        never_count = c.never_count - n.never_count, wrong_count = c.wrong_count - n.wrong_count
    from (select source, entity, operation, date_trunc('hour', changed_at) as hour_at, count(*) as late_count,
                 count(*) filter (where verdict = 'never') as never_count,
                 count(*) filter (where verdict = 'wrong') as wrong_count
          from late group by 1, 2, 3, 4) n
    where (c.source, c.entity, c.operation, c.hour_at) = (n.source, n.entity, n.operation, n.hour_at)
), heard as (
    select source, entity, event, max(told_at) as told_at, max(received_at) as received_at from (
        select source, entity, event, null as told_at, received_at from e
        union all select source, entity, operation, changed_at, null from late) h
    group by 1, 2, 3
), rules as (
    update tds_webhook_rules s set last_told_at = greatest(s.last_told_at, h.told_at),
        last_received_at = greatest(s.last_received_at, h.received_at)
    from heard h where (s.source, s.entity, s.event) = (h.source, h.entity, h.event)
)
select count(*) from late
""")
