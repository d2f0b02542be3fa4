"""Outbound change events: subscriptions, what each is owed, and what came of every delivery."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_subscriptions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('entities', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('kinds', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('fields', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='updates of others are not told, nor their values'),
    sa.Column('secret', sa.LargeBinary(), nullable=False, comment='locked with TDS_SECRET_KEY'),
    sa.Column('previous_secret', sa.LargeBinary(), nullable=True, comment='signs, too, until previous_until'),
    sa.Column('previous_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('message_key', sa.Text(), nullable=False, comment='makes the ids of its messages its own'),
    sa.Column('state', sa.Text(), server_default='active', nullable=False),
    sa.Column('state_reason', sa.Text(), nullable=True),
    sa.Column('state_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('replay_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('replayed_to', sa.BigInteger(), server_default=sa.text('0'), nullable=False, comment='events up to this id belong to the newest replay'),
    sa.Column('failure_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='in a row, of any events'),
    sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('rest_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='in a row'),
    sa.Column('rests_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True, comment='when it last took an event'),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_subscriptions')),
    sa.UniqueConstraint('name', name=op.f('uq_tds_subscriptions_name'))
    )
    op.create_table('tds_event_deliveries',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('subscription_id', sa.BigInteger(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False, comment='its webhook-id'),
    sa.Column('entry_id', sa.BigInteger(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('duration_seconds', sa.Double(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('tries', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='of each attempt: at, status, seconds, error'),
    sa.Column('first_attempted_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('attempted_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['tds_subscriptions.id'], name=op.f('fk_tds_event_deliveries_subscription_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_event_deliveries'))
    )
    op.create_index('ix_tds_event_deliveries_attempted_at', 'tds_event_deliveries', ['attempted_at'], unique=False)
    op.create_index('ix_tds_event_deliveries_subscription', 'tds_event_deliveries', ['subscription_id', 'id'], unique=False)
    op.create_index('uq_tds_event_deliveries_message', 'tds_event_deliveries', ['subscription_id', 'message_id'], unique=True)
    op.create_table('tds_outbound_lanes',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('subscription_id', sa.BigInteger(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('entry_id', sa.BigInteger(), nullable=False, comment='the entry of the history to be sent'),
    sa.Column('version', sa.Integer(), nullable=False, comment='its version of the record'),
    sa.Column('last_id', sa.BigInteger(), nullable=False, comment='no entry behind this one was looked at yet'),
    sa.Column('replay', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='0: told for the first time'),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('failed_at', sa.DateTime(timezone=True), nullable=True, comment='when it first did'),
    sa.Column('status', sa.Integer(), nullable=True, comment='the answer to its last attempt; null: none came'),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='while it is leased: when the lease ends'),
    sa.Column('lease_token', sa.Uuid(), nullable=True),
    sa.Column('leased_by', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['subscription_id'], ['tds_subscriptions.id'], name=op.f('fk_tds_outbound_lanes_subscription_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_outbound_lanes')),
    postgresql_with={'fillfactor': 70, 'autovacuum_vacuum_scale_factor': 0.02, 'autovacuum_vacuum_threshold': 500, 'autovacuum_vacuum_cost_delay': 0}
    )
    op.create_index('ix_tds_outbound_lanes_due', 'tds_outbound_lanes', ['subscription_id', 'next_attempt_at'], unique=False)
    op.create_index('ix_tds_outbound_lanes_leased', 'tds_outbound_lanes', ['subscription_id'], unique=False, postgresql_where=sa.text('lease_token is not null'))
    op.create_index('uq_tds_outbound_lanes_record', 'tds_outbound_lanes', ['subscription_id', 'entity', 'source_id', 'source'], unique=True)


def downgrade() -> None:
    op.drop_index('uq_tds_outbound_lanes_record', table_name='tds_outbound_lanes')
    op.drop_index('ix_tds_outbound_lanes_leased', table_name='tds_outbound_lanes', postgresql_where=sa.text('lease_token is not null'))
    op.drop_index('ix_tds_outbound_lanes_due', table_name='tds_outbound_lanes')
    op.drop_table('tds_outbound_lanes')
    op.drop_index('uq_tds_event_deliveries_message', table_name='tds_event_deliveries')
    op.drop_index('ix_tds_event_deliveries_subscription', table_name='tds_event_deliveries')
    op.drop_index('ix_tds_event_deliveries_attempted_at', table_name='tds_event_deliveries')
    op.drop_table('tds_event_deliveries')
    op.drop_table('tds_subscriptions')
