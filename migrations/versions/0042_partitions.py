"""Attempts and measured values are partitioned by time; old ones are dropped whole"""

from alembic import op

from tds_core.schema import partition_conversion
from tds_models.partitions import PARTITIONED

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

TABLES = ("tds_metrics", "tds_sync_logs")
# Only the owner of a table may add partitions to it or drop some, so functions of the owner do, for tables that are
# partitioned and no others, and only what is at least a day old is dropped. None of them waits long for its locks:
# others that want the table would stand behind it.
ADD = r"""
create function tds_add_partition(partitioned text, begins_at timestamptz, ends_at timestamptz) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '1s' as $$
declare
    partition text := partitioned || '_p' || to_char(begins_at, 'YYYYMMDD');
    key name;
    is_taken boolean;
begin
    select a.attname into key from pg_partitioned_table p
    join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = to_regclass('public.' || quote_ident(partitioned)) and partitioned like 'tds\_%';
    if key is null then
        raise exception '% is not partitioned', partitioned using errcode = 'wrong_object_type';
    end if;
    if to_regclass('public.' || quote_ident(partition)) is not null then return false; end if;
    execute format('lock table public.%I in access exclusive mode', partitioned || '_default');
    execute format('select exists (select from public.%I where %I >= $1 and %I < $2)', partitioned || '_default', key, key)
        into is_taken using begins_at, ends_at;
    if is_taken then return false; end if;
    execute format('create table public.%I (like public.%I including defaults including storage)', partition, partitioned);
    execute format('alter table public.%I attach partition public.%I for values from (%L) to (%L)',
                   partitioned, partition, begins_at, ends_at);
    return true;
end $$;
"""
# An event without a verdict still has work to do, so it outlives its partition.
DROP = r"""
create function tds_drop_partition(partition text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '1s' as $$
declare
    partitioned text;
    ends_at timestamptz;
    unfinished text := 'false';
    unfinished_count bigint;
begin
    select p.relname, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz
    into partitioned, ends_at
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
    where c.oid = to_regclass('public.' || quote_ident(partition)) and p.relname like 'tds\_%';
    if ends_at is null or ends_at > now() - interval '1 day' then
        raise exception '% is no partition that ended a day ago', partition using errcode = 'restrict_violation';
    end if;
    if partitioned = 'tds_inbox_events' then unfinished := 'verdict is null'; end if;
    execute format('lock table public.%I in access exclusive mode', partitioned);
    execute format('select count(*) from (select from public.%I where %s limit 10001) u', partition, unfinished)
        into unfinished_count;
    if unfinished_count > 10000 then return null; end if;
    execute format('alter table public.%I detach partition public.%I', partitioned, partition);
    execute format('insert into public.%I overriding system value select * from public.%I where %s',
                   partitioned, partition, unfinished);
    execute format('drop table public.%I', partition);
    return unfinished_count;
end $$;
"""
ANALYZE = r"""
create function tds_analyze_partitions(partitioned text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from pg_partitioned_table p
                   where p.partrelid = to_regclass('public.' || quote_ident(partitioned))) then
        raise exception '% is not partitioned', partitioned using errcode = 'wrong_object_type';
    end if;
    execute format('analyze public.%I', partitioned);
end $$;
"""
FUNCTIONS = "tds_add_partition(text, timestamptz, timestamptz), tds_drop_partition(text), tds_analyze_partitions(text)"


def upgrade() -> None:
    for function in (ADD, DROP, ANALYZE):
        op.execute(function)
    op.execute(f"revoke execute on function {FUNCTIONS} from public")
    for table in TABLES:
        partition_conversion.convert(op.get_bind(), PARTITIONED[table])


def downgrade() -> None:
    for table in TABLES:
        partition_conversion.revert(op.get_bind(), PARTITIONED[table])
    op.execute(f"drop function {FUNCTIONS}")
