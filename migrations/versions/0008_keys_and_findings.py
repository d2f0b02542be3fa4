"""The keys records have shown, and the findings about them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


SKIPPED = "rows that were as an earlier pass left them, byte by byte"


def upgrade() -> None:
    skipped = sa.Column("skipped_count", sa.Integer(), server_default=sa.text("0"), nullable=False, comment=SKIPPED)
    op.add_column("tds_sync_runs", skipped)
    op.create_table('tds_findings',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False, comment="what it is about: a field, a record's id"),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('first_seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('resolved_by', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_findings'))
    )
    op.create_index('ix_tds_findings_entity', 'tds_findings', ['entity', 'kind', 'id'], unique=False)
    op.create_index('uq_tds_findings_open', 'tds_findings', ['kind', 'source', 'entity', 'subject'], unique=True, postgresql_where=sa.text('resolved_at is null'))
    op.create_table('tds_known_keys',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('part', sa.Text(), nullable=False, comment='list or detail, and which lines'),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('kinds', sa.ARRAY(sa.Text()), nullable=False, comment='the kinds of JSON value samples of it had'),
    sa.Column('first_seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='once for each run and process that read it'),
    sa.PrimaryKeyConstraint('source', 'entity', 'part', 'key', name=op.f('pk_tds_known_keys'))
    )


def downgrade() -> None:
    op.drop_column("tds_sync_runs", "skipped_count")
    op.drop_table('tds_known_keys')
    op.drop_index('uq_tds_findings_open', table_name='tds_findings', postgresql_where=sa.text('resolved_at is null'))
    op.drop_index('ix_tds_findings_entity', table_name='tds_findings')
    op.drop_table('tds_findings')
