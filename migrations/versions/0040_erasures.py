"""Personal values can be erased from history, which then says so"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

REFUSE_MORE = """
create or replace function tds_refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('tds.retiring', true) = tg_table_name then return old; end if;
    if tg_op = 'UPDATE' and current_setting('tds.erasing', true) = tg_table_name then return new; end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;
"""
REFUSE = """
create or replace function tds_refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('tds.retiring', true) = tg_table_name then return old; end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;
"""
# Only the owner of history may change any of it, so a function of the owner's does. It puts the mark in the place of
# parts of what stood there and can do nothing else: ids, times and who did it are in none of these columns, and what is
# not the mark must have stood there in the same order. That the change has its note is what verification holds.
ERASE = r"""
create function tds_erase_history(sealed_table text, erased_column text, ids bigint[], contents text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    kind text := case when erased_column in ('changes', 'detail') then 'jsonb' else 'text' end;
    erased_count bigint;
begin
    if (sealed_table, erased_column) not in (
        ('tds_audit_trail', 'changes'), ('tds_operator_actions', 'detail'), ('tds_operator_actions', 'subject'),
        ('tds_dead_letter_actions', 'detail'), ('tds_alert_transitions', 'reason')) then
        raise exception 'nothing is erased from % of %', erased_column, sealed_table using errcode = 'restrict_violation';
    end if;
    perform set_config('tds.erasing', sealed_table, true);
    execute format($statement$
        update public.%1$I t set %2$I = n.content::%3$s
        from unnest($1, $2) n (id, content)
        where t.id = n.id and t.%2$I::text like replace(replace(
            regexp_replace(n.content::%3$s::text, '([\\%%_])', '\\\1', 'g'), '"(erased)"', '%%'), '(erased)', '%%')
        $statement$, sealed_table, erased_column, kind) using ids, contents;
    get diagnostics erased_count = row_count;
    perform set_config('tds.erasing', '', true);
    if erased_count <> cardinality(ids) then
        raise exception 'of % rows of %, % would hold more than what stood there with parts erased',
            cardinality(ids), sealed_table, cardinality(ids) - erased_count using errcode = 'restrict_violation';
    end if;
    return erased_count;
end $$;
"""
_SEALS = "tds_audit_seals"
_COMMENTS = {
    "kind": ("rows, retired or restarted", "rows, retired, restarted or erased"),
    "note": ("of a restarted seal: who began the chain anew, and why",
             "of a restarted or erased seal: who did it, and why"),
    "digests": ("16 bytes for each row, in the order of ids",
                "16 bytes for each row, in the order of ids; of an erased seal 32: before and after"),
}  # fmt: skip


def upgrade() -> None:
    op.execute(REFUSE_MORE)
    op.execute(ERASE)
    op.execute("revoke execute on function tds_erase_history(text, text, bigint[], text[]) from public")
    for column, (_, comment) in _COMMENTS.items():
        op.execute(f"comment on column {_SEALS}.{column} is '{comment}'")


def downgrade() -> None:
    op.execute("drop function tds_erase_history(text, text, bigint[], text[])")
    op.execute(REFUSE)
    for column, (comment, _) in _COMMENTS.items():
        op.execute(f"comment on column {_SEALS}.{column} is '{comment}'")
