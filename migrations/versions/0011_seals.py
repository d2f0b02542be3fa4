"""Seals over the history"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Retiring old history is the one way to remove any: it names the table for as long as its transaction lasts.
REFUSE = """
create or replace function tds_refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('tds.retiring', true) = tg_table_name then return old; end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;
"""
REFUSE_ALL = """
create or replace function tds_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;
"""
APPEND_ONLY = """
create trigger tds_audit_seals_append_only before update or delete on tds_audit_seals
    for each row execute function tds_refuse_change();
create trigger tds_audit_seals_no_truncate before truncate on tds_audit_seals
    for each statement execute function tds_refuse_change();
"""


def upgrade() -> None:
    op.create_table('tds_audit_head',
    sa.Column('id', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('waits', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_audit_head'))
    )
    op.create_table('tds_audit_seal_keys',
    sa.Column('key_id', sa.LargeBinary(), nullable=False),
    sa.Column('locked', sa.LargeBinary(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('key_id', name=op.f('pk_tds_audit_seal_keys'))
    )
    op.create_table('tds_audit_seals',
    sa.Column('number', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='rows or retired'),
    sa.Column('trail', sa.Text(), nullable=False, comment='the table it is about'),
    sa.Column('columns', sa.ARRAY(sa.Text()), nullable=False, comment='what of a row is digested, in this order'),
    sa.Column('first_id', sa.BigInteger(), nullable=False),
    sa.Column('last_id', sa.BigInteger(), nullable=False),
    sa.Column('row_count', sa.Integer(), nullable=False),
    sa.Column('ids', postgresql.INT8MULTIRANGE(), nullable=False, comment='the rows; no other id up to last_id will ever have one'),
    sa.Column('digests', sa.LargeBinary(), nullable=False, comment='16 bytes for each row, in the order of ids'),
    sa.Column('begins_at', sa.BigInteger(), nullable=True, comment='of a retired seal: the chain begins with this number from now on'),
    sa.Column('key_id', sa.LargeBinary(), nullable=False, comment='which key the digest was made with'),
    sa.Column('previous', sa.LargeBinary(), nullable=False, comment='the digest of the seal before'),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('sealed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_tds_audit_seals'))
    )
    op.create_index('ix_tds_audit_seals_trail', 'tds_audit_seals', ['trail', 'last_id'], unique=False)
    op.execute(REFUSE)
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.execute(REFUSE_ALL)
    op.drop_table('tds_audit_seals')
    op.drop_table('tds_audit_seal_keys')
    op.drop_table('tds_audit_head')
