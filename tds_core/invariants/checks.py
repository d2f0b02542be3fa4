"""Invariant checks: queries over inbox, queue, attempts, history and mirror that select every violation of a promise.

Events have one true verdict or a work item; work items have a reason, one live lease and one end; the history of a
record misses no version, repeats no effect and never goes backwards; rows belong to the mirrored organisation.
"""

from dataclasses import dataclass
from enum import StrEnum

from tds_core.sync.foreign_organization_rows import foreign
from tds_models.entities import ENTITIES

#: Whether old history was retired; then the remaining history begins in the middle of records' lives.
RETIRED = "exists (select from tds_audit_seals where kind = 'retired' and trail = 'tds_audit_trail')"

#: Whether a version's time of change lay in the past when it was recorded; a future time is no evidence of order.
HAS_PAST_TIME = "source_modified_at <= recorded_at + interval '1 hour'"
#: The audit trail with, for each version, how many forced reads (which ignore the time of change) there were up to it.
BY_FORCE = """(select *, count(*) filter (where origin = 'forced') over (
    partition by source, entity, source_id order by version) as forced_count from tds_audit_trail)"""
EVENTS = "select count(*) from tds_inbox_events"
ENTRIES = "select count(*) from tds_audit_trail"
OF_ONE_RECORD = "partition by source, entity, source_id order by version"
#: The outcomes of an attempt that complete its work item.
ENDS = "('created', 'updated', 'unchanged', 'stale', 'deleted', 'restored', 'dead')"


class Promise(StrEnum):
    """What a violation means for the mirror's readers."""

    LOST = "lost"  # something accepted is neither done nor owed
    DOUBLED = "doubled"  # something was done twice
    BACKWARDS = "backwards"  # an older state came after a newer one
    DIFFERENT = "different"  # a row is not what its history says


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `says` states what holds when it passes.

    `broken` selects entity, source_id and found (what is wrong, in words) of each violation; `counted` counts the rows
    checked. `look`: where to go on, with `{entity}` and `{source_id}` filled in.
    """

    name: str
    promise: Promise
    says: str
    broken: str
    counted: str
    look: str = "tds explain {entity} {source_id}"


EVENT_CHECKS = (
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
        says="an event has both a verdict and its time, or neither",
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
        says="the original of every duplicate is in the inbox",
        broken="""
            select null as entity, null as source_id, format('fingerprint %s names event %s, which is not there',
                encode(f.fingerprint, 'hex'), f.event_id) as found
            from tds_inbox_fingerprints f left join tds_inbox_events e on e.id = f.event_id
            where e.id is null and f.seen_at > now() - interval '1 day'""",
        counted="select count(*) from tds_inbox_fingerprints where seen_at > now() - interval '1 day'",
        look="tds_inbox_fingerprints",
    ),
)

WORK_CHECKS = (
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
        says="a generation that ended has no work item any more",
        broken=f"""
            select q.entity, q.source_id, format('generation %s ended as %s and is still owed', q.generation,
                l.outcome) as found
            from tds_sync_queue q join tds_sync_logs l using (source, entity, source_id, generation)
            where l.outcome in {ENDS}""",
        counted="select count(*) from tds_sync_queue",
    ),
)

HISTORY_CHECKS = (
    Check(
        name="versions_are_whole",
        promise=Promise.LOST,
        says="the versions of a record begin at 1 and leave none out",
        broken=f"""
            select entity, source_id, format('%s versions between %s and %s', count(*), min(version),
                max(version)) as found
            from tds_audit_trail group by source, entity, source_id
            having max(version) - min(version) + 1 <> count(*) or (min(version) <> 1 and not {RETIRED})""",
        counted="select count(*) from (select distinct source, entity, source_id from tds_audit_trail) r",
    ),
    Check(
        name="lives_make_sense",
        promise=Promise.DOUBLED,
        says="a record is created once, deleted while it lives and restored while it is deleted",
        broken=f"""
            select entity, source_id, format('version %s %s after %s', version, operation,
                coalesce(earlier, 'nothing')) as found
            from (select *, lag(operation) over ({OF_ONE_RECORD}) as earlier from tds_audit_trail) a
            where not (earlier is null and version > 1 and {RETIRED})
                and case operation when 'created' then earlier is not null
                when 'deleted' then earlier = 'deleted' and origin <> 'forced'
                when 'restored' then earlier is distinct from 'deleted'
                when 'repaired' then earlier is null
                else earlier is null or earlier = 'deleted' end""",
        counted=ENTRIES,
    ),
    Check(
        name="effects_happen_once",
        promise=Promise.DOUBLED,
        says="no two versions of a record have the same change of the same origin",
        broken="""
            select entity, source_id, format('versions %s: the same change by %s %s', string_agg(version::text, ', '
                order by version), origin, origin_id) as found
            from tds_audit_trail where origin_id is not null
            group by source, entity, source_id, origin, origin_id, operation, source_modified_at, changes
            having count(*) > 1 and (source_modified_at is not null or max(version) - min(version) = count(*) - 1)""",
        counted=ENTRIES,
    ),
    Check(
        name="time_only_moves_on",
        promise=Promise.BACKWARDS,
        says="no version of a living record is older than one before it",
        # A forced read may be older than the row and starts a new order; a restored record may carry its earlier time.
        broken=f"""
            select entity, source_id, format('version %s is of %s, one before it of %s', version, source_modified_at,
                reached) as found
            from (select *, max(source_modified_at) filter (where {HAS_PAST_TIME}) over (
                      partition by source, entity, source_id, forced_count order by version
                      rows between unbounded preceding and 1 preceding) as reached from {BY_FORCE} f) a
            where source_modified_at < reached and operation not in ('deleted', 'restored', 'repaired')""",
        counted=ENTRIES,
    ),
)

ROW_CHECKS = (
    Check(
        name="rows_are_of_one_organization",
        promise=Promise.DIFFERENT,
        says="no living row names another organisation than the mirrored one",
        broken=f"""
            select entity, source_id, format('it says that it is of organisation %s, and %s is mirrored',
                left(theirs, 40), mirrored) as found
            from ({" union all ".join(foreign(entity) for entity in ENTITIES.values())}) as named""",
        counted="select sum(living) from ("
        + " union all ".join(
            f"select count(*) as living from {entity.table.fullname} where deleted_at is null"
            for entity in ENTITIES.values()
        )
        + ") as counted",
        look="tds sync {entity} --mode full; when it is held: tds runs approve ID; tds explain {entity} {source_id}",
    ),
)

CHECKS = (*EVENT_CHECKS, *WORK_CHECKS, *HISTORY_CHECKS, *ROW_CHECKS)
