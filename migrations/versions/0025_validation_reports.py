"""Validation reports made in the background"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_validation_reports',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False, comment='an entity, integrity or orphans'),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('check_count', sa.Integer(), nullable=False, comment='how many checks it takes'),
    sa.Column('checked_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='how many are done'),
    sa.Column('current_check', sa.Text(), nullable=True, comment='the check that is next, or under way'),
    sa.Column('tally', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='what the checks that are done found'),
    sa.Column('report', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('error', sa.Text(), nullable=True, comment='why it failed'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_validation_reports')),
    )
    op.create_index('ix_tds_validation_reports_subject', 'tds_validation_reports', ['subject', 'id'], unique=False)
    op.create_index('uq_tds_validation_reports_open', 'tds_validation_reports', ['subject'], unique=True, postgresql_where=sa.text('ended_at is null'))


def downgrade() -> None:
    op.drop_table('tds_validation_reports')
