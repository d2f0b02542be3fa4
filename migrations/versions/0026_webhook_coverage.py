"""Webhook coverage: counts by entity and hour, changes no webhook announced in time, and how far both are measured"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_webhook_coverage',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('operation', sa.Text(), nullable=False, comment='created, updated or deleted'),
    sa.Column('hour_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('webhook_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('in_time_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('late_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('never_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('wrong_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('counted_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('source', 'entity', 'operation', 'hour_at', name=op.f('pk_tds_webhook_coverage')),
    )
    op.create_index('ix_tds_webhook_coverage_hour', 'tds_webhook_coverage', ['hour_at'])
    op.create_table('tds_webhook_gaps',
    sa.Column('entry_id', sa.BigInteger(), autoincrement=False, nullable=False, comment='of tds_audit_trail: a change counts once'),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('operation', sa.Text(), nullable=False),
    sa.Column('origin', sa.Text(), nullable=False, comment='what found it: run, sweep, comparison, ...'),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False, comment='when the source changed it, as far as that is known'),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True, comment="of wrong: a refusal's code, older_state or deleted"),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=True, comment='when the late webhook came'),
    sa.PrimaryKeyConstraint('entry_id', name=op.f('pk_tds_webhook_gaps')),
    )
    op.create_index('ix_tds_webhook_gaps_found', 'tds_webhook_gaps', ['found_at', 'entry_id'])
    op.create_index('ix_tds_webhook_gaps_never', 'tds_webhook_gaps', ['entity', 'operation', 'changed_at'], postgresql_where=sa.text("verdict = 'never'"))
    op.create_index('ix_tds_webhook_gaps_record', 'tds_webhook_gaps', ['entity', 'source_id'], postgresql_where=sa.text("verdict <> 'late'"))
    op.create_table('tds_webhook_rules',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('event', sa.Text(), nullable=False, comment='created, updated or deleted'),
    sa.Column('begins_at', sa.DateTime(timezone=True), nullable=True, comment='earlier changes do not count'),
    sa.Column('last_told_at', sa.DateTime(timezone=True), nullable=True, comment='the newest change that was announced'),
    sa.Column('last_received_at', sa.DateTime(timezone=True), nullable=True, comment='the newest webhook of this event'),
    sa.PrimaryKeyConstraint('source', 'entity', 'event', name=op.f('pk_tds_webhook_rules')),
    )
    op.create_table('tds_webhook_coverage_position',
    sa.Column('id', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('entry_id', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('wait', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('received_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('first_webhook_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('measured_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_webhook_coverage_position')),
    )


def downgrade() -> None:
    op.drop_table('tds_webhook_coverage_position')
    op.drop_table('tds_webhook_rules')
    op.drop_table('tds_webhook_gaps')
    op.drop_table('tds_webhook_coverage')
