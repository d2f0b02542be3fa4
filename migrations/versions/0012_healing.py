"""Healing: its cycles, what they did, canaries, and the workers as they tell of themselves."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


# Healing does what this job did; it would do it twice.
REPLACED = "delete from tds_scheduled_jobs where name = 'dead-letter-retry'"


def upgrade() -> None:
    op.execute(REPLACED)
    op.create_table('tds_canaries',
    sa.Column('queue', sa.Text(), nullable=False),
    sa.Column('nonce', sa.Uuid(), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('unanswered_count', sa.Integer(), server_default=sa.text('1'), nullable=False, comment='since the last answer'),
    sa.Column('unanswered_since', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=True),
    sa.Column('heard_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('heard_by', sa.Text(), nullable=True),
    sa.Column('heard_seconds', sa.Float(), nullable=True, comment='how long that one took'),
    sa.PrimaryKeyConstraint('queue', name=op.f('pk_tds_canaries'))
    )
    op.create_table('tds_healing_cycles',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('began_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cause', sa.Text(), nullable=False, comment='beat, dispatcher or operator'),
    sa.Column('requested_by', sa.Text(), nullable=True, comment='the operator'),
    sa.Column('counts', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='what each action put right; null: it failed'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_healing_cycles'))
    )
    op.create_index('ix_tds_healing_cycles_began_at', 'tds_healing_cycles', ['began_at'], unique=False)
    op.create_table('tds_listeners',
    sa.Column('process', sa.Text(), nullable=False, comment='host, process and place'),
    sa.Column('name', sa.Text(), nullable=False, comment='what Celery calls it'),
    sa.Column('born', sa.Float(), nullable=False, comment="when the process began, so that its id is not taken for another's"),
    sa.Column('ear', sa.Text(), nullable=False, comment='the queue only it listens to'),
    sa.Column('slot_count', sa.Integer(), nullable=False),
    sa.Column('busy_count', sa.Integer(), nullable=False),
    sa.Column('queues', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('lost_queues', sa.ARRAY(sa.Text()), nullable=False, comment='it listened there when it began'),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('alive_at', sa.DateTime(timezone=True), nullable=False, comment='when it told this'),
    sa.Column('heard_at', sa.DateTime(timezone=True), nullable=False, comment='when it last took up a message'),
    sa.Column('looped_at', sa.DateTime(timezone=True), nullable=False, comment='when its main loop last went round'),
    sa.Column('deaf_at', sa.DateTime(timezone=True), nullable=True, comment='when it was found deaf'),
    sa.Column('deaf_reason', sa.Text(), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('end_reason', sa.Text(), nullable=True, comment='stopped, deaf, gone or silent'),
    sa.PrimaryKeyConstraint('process', name=op.f('pk_tds_listeners'))
    )
    op.create_index('ix_tds_listeners_open', 'tds_listeners', ['name'], unique=False, postgresql_where=sa.text('ended_at is null'))
    op.create_table('tds_healing_actions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('acted_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('cycle_id', sa.BigInteger(), nullable=True, comment='null: between two cycles'),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('cause', sa.Text(), nullable=False, comment='beat, dispatcher or operator'),
    sa.Column('entity', sa.Text(), nullable=True),
    sa.Column('subject', sa.Text(), nullable=True, comment='a breaker, a worker, a queue, a run'),
    sa.Column('count', sa.Integer(), server_default=sa.text('1'), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False, comment='done, failed or reported'),
    sa.Column('lasted_seconds', sa.Float(), nullable=True, comment='how long it had been wrong by then'),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.ForeignKeyConstraint(['cycle_id'], ['tds_healing_cycles.id'], name=op.f('fk_tds_healing_actions_cycle_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_healing_actions'))
    )
    op.create_index('ix_tds_healing_actions_acted_at', 'tds_healing_actions', ['acted_at'], unique=False)
    op.create_index('ix_tds_healing_actions_action', 'tds_healing_actions', ['action', 'subject', 'id'], unique=False)
    op.create_index('ix_tds_healing_actions_cycle_id', 'tds_healing_actions', ['cycle_id'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_tds_healing_actions_cycle_id', table_name='tds_healing_actions')
    op.drop_index('ix_tds_healing_actions_action', table_name='tds_healing_actions')
    op.drop_index('ix_tds_healing_actions_acted_at', table_name='tds_healing_actions')
    op.drop_table('tds_healing_actions')
    op.drop_index('ix_tds_listeners_open', table_name='tds_listeners', postgresql_where=sa.text('ended_at is null'))
    op.drop_table('tds_listeners')
    op.drop_index('ix_tds_healing_cycles_began_at', table_name='tds_healing_cycles')
    op.drop_table('tds_healing_cycles')
    op.drop_table('tds_canaries')
