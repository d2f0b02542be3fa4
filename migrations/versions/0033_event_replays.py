"""Many events are replayed on one request"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_replay_batches',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('asked', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='which events were asked for'),
    sa.Column('taken_at', sa.DateTime(timezone=True), nullable=False, comment='when the selection was shown'),
    sa.Column('event_count', sa.Integer(), nullable=False),
    sa.Column('per_minute', sa.Integer(), nullable=False),
    sa.Column('stepped_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when events were last replayed'),
    sa.Column('cancelled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancelled_by', sa.Text(), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True, comment='when its last event was replayed or left'),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_replay_batches'))
    )
    op.create_index('ix_tds_replay_batches_open', 'tds_replay_batches', ['id'], unique=False, postgresql_where=sa.text('ended_at is null'))
    op.create_table('tds_replayed_events',
    sa.Column('batch_id', sa.BigInteger(), nullable=False),
    sa.Column('event_id', sa.BigInteger(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=True, comment='replayed, refused, gone, owed or cancelled'),
    sa.Column('new_event_id', sa.BigInteger(), nullable=True, comment='the event it was received again as'),
    sa.Column('error', sa.Text(), nullable=True, comment='why it was refused'),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['batch_id'], ['tds_replay_batches.id'], name=op.f('fk_tds_replayed_events_batch_id_tds_replay_batches'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('batch_id', 'event_id', name=op.f('pk_tds_replayed_events'))
    )
    op.create_index('ix_tds_replayed_events_waiting', 'tds_replayed_events', ['batch_id', 'event_id'], unique=False, postgresql_where=sa.text('outcome is null'))


def downgrade() -> None:
    op.drop_table('tds_replayed_events')
    op.drop_table('tds_replay_batches')
