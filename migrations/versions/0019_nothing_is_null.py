"""What says nothing is null in every column, and an odd value is a finding, not a constraint"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

AT_LEAST_NOTHING = (("product", "price"), ("product", "purchase_price"), ("customer_payment", "amount"))

# Text and own fields that are empty or blank; each table is written once, and only the rows that have any.
NOTHING_IS_NULL = r"""
do $$
declare
    mirror record;
begin
    for mirror in
        select c.table_name,
            string_agg(case c.data_type
                when 'text' then format($f$%1$I = case when %1$I ~ '\S' then %1$I end$f$, c.column_name)
                else format($f$%1$I = (select jsonb_object_agg(key, value) from jsonb_each(%1$I)
                    where jsonb_typeof(value) not in ('string', 'null') or value #>> '{}' ~ '\S')$f$,
                    c.column_name) end, ', ') as written,
            string_agg(case c.data_type
                when 'text' then format($f$%1$I !~ '\S'$f$, c.column_name)
                else format($f$exists (select from jsonb_each(case jsonb_typeof(%1$I) when 'object' then %1$I end)
                    where jsonb_typeof(value) in ('string', 'null')
                    and coalesce(value #>> '{}', '') !~ '\S')$f$, c.column_name) end, ' or ') as concerned
        from information_schema.columns c
        join information_schema.tables t using (table_schema, table_name)
        where c.table_schema = 'erp' and t.table_type = 'BASE TABLE' and (
            (c.data_type = 'text' and c.column_name not in ('source', 'source_id', 'parent_id'))
            or (c.data_type = 'jsonb' and c.column_name = 'custom_fields'))
        group by c.table_name order by c.table_name
    loop
        execute format('update erp.%I set %s where %s', mirror.table_name, mirror.written, mirror.concerned);
    end loop;
end
$$
"""


def upgrade() -> None:
    for table, column in AT_LEAST_NOTHING:
        op.drop_constraint(f"ck_{table}_{column}", table, schema="erp", type_="check")
    op.execute(NOTHING_IS_NULL)


def downgrade() -> None:
    # What was stored since stays; only new rows are held to it.
    for table, column in AT_LEAST_NOTHING:
        op.execute(f"alter table erp.{table} add constraint ck_{table}_{column} check ({column} >= 0) not valid")
