"""What must hold for the history of every record: no version missing or twice, no effect twice, no step backwards."""

from tds_core.verifying.check import BY_FORCE, RETIRED, SAYS_WHEN, Check, Promise

ENTRIES = "select count(*) from tds_audit_trail"
OF_ONE_RECORD = "partition by source, entity, source_id order by version"

CHECKS = (
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
        # What a person had read by force may be older than what stood, and begins anew.
        # What came back from the dead may carry the time it had before; the reading that saw it alive was the later.
        broken=f"""
            select entity, source_id, format('version %s is of %s, one before it of %s', version, source_modified_at,
                reached) as found
            from (select *, max(source_modified_at) filter (where {SAYS_WHEN}) over (
                      partition by source, entity, source_id, forced_count order by version
                      rows between unbounded preceding and 1 preceding) as reached from {BY_FORCE} f) a
            where source_modified_at < reached and operation not in ('deleted', 'restored', 'repaired')""",
        counted=ENTRIES,
    ),
)
