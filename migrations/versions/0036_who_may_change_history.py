"""What the owner of history does for a role that may only append to it"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

# Only rows of whole seals that are older than the least TDS_AUDIT_DAYS, and the seals nothing refers to any more: the
# newest retirement of each table is kept, and the first seal of rows that stay.
RETIRE = """
create function tds_retire_history(sealed_table text, up_to bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    first_kept bigint;
begin
    if not exists (select from public.tds_audit_seals s
                   where s.trail = sealed_table and s.kind = 'rows' and s.last_id = up_to)
       or exists (select from public.tds_audit_seals s where s.trail = sealed_table and s.kind = 'rows'
                  and s.last_id <= up_to and s.sealed_at > now() - interval '30 days')
       or not exists (select from pg_trigger t where t.tgrelid = to_regclass('public.' || quote_ident(sealed_table))
                      and t.tgfoid = 'public.tds_refuse_change()'::regprocedure) then
        raise exception 'rows of % up to % are not retired: no seal ends there, or it is younger than 30 days',
            sealed_table, up_to using errcode = 'restrict_violation';
    end if;
    perform set_config('tds.retiring', sealed_table, true);
    execute format('delete from public.%I where id <= $1', sealed_table) using up_to;
    with cut as (
        select s.trail, max(s.last_id) as last_id, max(s.number) as number from public.tds_audit_seals s
        where s.kind = 'retired' group by s.trail
        union all select sealed_table, up_to, (select h.number + 1 from public.tds_audit_head h)
    )
    select least((select h.number + 1 from public.tds_audit_head h), (
        select min(s.number) from public.tds_audit_seals s where s.trail <> sealed_table and s.kind = 'retired'
          and s.number = (select max(number) from cut where cut.trail = s.trail)), (
        select min(s.number) from public.tds_audit_seals s where s.kind = 'rows'
          and s.last_id > coalesce((select max(last_id) from cut where cut.trail = s.trail), 0)))
    into first_kept;
    perform set_config('tds.retiring', 'tds_audit_seals', true);
    delete from public.tds_audit_seals s where s.number < first_kept;
    perform set_config('tds.retiring', '', true);
    return first_kept;
end $$;
"""
# Locking a table against writers takes a right to change its rows.
FREEZE = """
create function tds_freeze_history() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    lock table public.tds_audit_trail in share mode;
end $$;
"""


def upgrade() -> None:
    op.execute(RETIRE)
    op.execute(FREEZE)
    op.execute("revoke execute on function tds_retire_history(text, bigint), tds_freeze_history() from public")


def downgrade() -> None:
    op.execute("drop function tds_freeze_history()")
    op.execute("drop function tds_retire_history(text, bigint)")
