"""What must hold for every accepted event: one verdict, and a true one, or work that is still owed."""

from tds_core.verifying.check import Check, Promise

EVENTS = "select count(*) from tds_inbox_events"

CHECKS = (
    Check(
        name="events_end_or_are_owed",
        promise=Promise.LOST,
        says="every accepted event has a verdict, or a work item that covers it",
        broken="""
            select e.entity, e.source_id, format('event %s has no verdict, and no work item covers generation %s',
                e.id, coalesce(e.generation::text, '(none)')) as found
            from tds_inbox_events e
            left join tds_sync_queue q on (q.source, q.entity, q.source_id) = (e.source, e.entity, e.source_id)
            where e.verdict is null and (q.id is null or e.generation is null or q.generation < e.generation)""",
        counted=EVENTS,
    ),
    Check(
        name="verdicts_are_dated",
        promise=Promise.DOUBLED,
        says="a verdict was given at a time, and no time without a verdict",
        broken="""
            select entity, source_id, format('event %s: verdict %s, given at %s', id, coalesce(verdict, '(none)'),
                coalesce(verdict_at::text, '(never)')) as found
            from tds_inbox_events where (verdict is null) <> (verdict_at is null)""",
        counted=EVENTS,
    ),
    Check(
        name="applied_events_had_an_effect",
        promise=Promise.LOST,
        says="an event that was applied is in the history of its record",
        broken="""
            select e.entity, e.source_id, format('event %s was applied, and no version comes from it', e.id) as found
            from tds_inbox_events e
            where e.verdict = 'applied' and not exists (
                select from tds_audit_trail a
                where (a.entity, a.source_id, a.source, a.origin_id) = (e.entity, e.source_id, e.source, e.id))""",
        counted=f"{EVENTS} where verdict = 'applied'",
    ),
    Check(
        name="given_up_events_have_a_letter",
        promise=Promise.LOST,
        says="an event that was given up has a dead letter about its record",
        broken="""
            select e.entity, e.source_id, format('event %s was given up without a dead letter', e.id) as found
            from tds_inbox_events e
            where e.verdict = 'dead_lettered' and not exists (
                select from tds_dead_letter_queue d
                where (d.source, d.entity, d.source_id) = (e.source, e.entity, e.source_id))""",
        counted=f"{EVENTS} where verdict = 'dead_lettered'",
    ),
    Check(
        name="duplicates_lead_to_an_event",
        promise=Promise.LOST,
        says="what was answered as a duplicate lies in the inbox",
        broken="""
            select null as entity, null as source_id, format('fingerprint %s names event %s, which is not there',
                encode(f.fingerprint, 'hex'), f.event_id) as found
            from tds_inbox_fingerprints f left join tds_inbox_events e on e.id = f.event_id
            where e.id is null and f.seen_at > now() - interval '1 day'""",
        counted="select count(*) from tds_inbox_fingerprints where seen_at > now() - interval '1 day'",
        look="tds_inbox_fingerprints",
    ),
)
