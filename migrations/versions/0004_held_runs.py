"""Runs that are held, runs that only look, and slots whose process died."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_run_holds',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('run_id', sa.BigInteger(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='change or deletion'),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('record_count', sa.Integer(), nullable=False, comment='how many records the run would have come to'),
    sa.Column('preview', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='counts and some examples'),
    sa.Column('held_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('decision', sa.Text(), nullable=True, comment='approved, rejected or cancelled'),
    sa.Column('decided_by', sa.Text(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('approved_count', sa.Integer(), nullable=True, comment='how many records the run may come to'),
    sa.ForeignKeyConstraint(['run_id'], ['tds_sync_runs.id'], name=op.f('fk_tds_run_holds_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_run_holds'))
    )
    op.create_index('uq_tds_run_holds_open', 'tds_run_holds', ['run_id'], unique=True, postgresql_where=sa.text('decided_at is null'))
    op.add_column('tds_schedule_slots', sa.Column('attempts', sa.Integer(), server_default=sa.text('1'), nullable=False, comment='how often it was taken'))
    op.alter_column('tds_schedule_slots', 'claimed_at',
               existing_type=postgresql.TIMESTAMP(timezone=True),
               nullable=True,
               comment="null: asked for by a person, and nobody's yet",
               existing_server_default=sa.text('now()'))
    op.alter_column('tds_schedule_slots', 'result',
               existing_type=sa.TEXT(),
               comment='completed, failed, skipped or lost',
               existing_comment='completed, failed or skipped',
               existing_nullable=True)
    op.add_column('tds_sync_runs', sa.Column('asked', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='beside the mode: which records, or how a dry run reads'))
    op.add_column('tds_sync_runs', sa.Column('changed_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='records the mirror had that it changed: what the guard counts'))
    op.add_column('tds_sync_runs', sa.Column('report', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='what a dry run found'))
    op.drop_index('uq_tds_sync_runs_open', table_name='tds_sync_runs', postgresql_where=sa.text("state in ('queued', 'running') and mode <> 'targeted'"))
    op.create_index('uq_tds_sync_runs_open', 'tds_sync_runs', ['source', 'entity', 'mode'], unique=True, postgresql_where=sa.text("state in ('queued', 'running', 'held') and mode in ('full', 'incremental')"))


def downgrade() -> None:
    # Before this revision an entity had one pass at a time, and there were no dry runs; held runs are not looked at.
    op.execute("""
        update tds_sync_runs r set state = 'cancelled', ended_at = now(), lease_token = null, leased_until = null,
            end_reason = 'the schema went back to a revision without it'
        where state in ('queued', 'running') and (mode = 'dry_run' or (mode <> 'targeted' and exists (
            select from tds_sync_runs o where o.source = r.source and o.entity = r.entity and o.id < r.id
            and o.state in ('queued', 'running') and o.mode in ('full', 'incremental'))))""")
    op.execute("update tds_schedule_slots set claimed_at = slot_at where claimed_at is null")
    op.drop_index('uq_tds_sync_runs_open', table_name='tds_sync_runs', postgresql_where=sa.text("state in ('queued', 'running', 'held') and mode in ('full', 'incremental')"))
    op.create_index('uq_tds_sync_runs_open', 'tds_sync_runs', ['source', 'entity'], unique=True, postgresql_where=sa.text("state in ('queued', 'running') and mode <> 'targeted'"))
    op.drop_column('tds_sync_runs', 'report')
    op.drop_column('tds_sync_runs', 'changed_count')
    op.drop_column('tds_sync_runs', 'asked')
    op.alter_column('tds_schedule_slots', 'result',
               existing_type=sa.TEXT(),
               comment='completed, failed or skipped',
               existing_comment='completed, failed, skipped or lost',
               existing_nullable=True)
    op.alter_column('tds_schedule_slots', 'claimed_at',
               existing_type=postgresql.TIMESTAMP(timezone=True),
               nullable=False,
               comment=None,
               existing_comment="null: asked for by a person, and nobody's yet",
               existing_server_default=sa.text('now()'))
    op.drop_column('tds_schedule_slots', 'attempts')
    op.drop_index('uq_tds_run_holds_open', table_name='tds_run_holds', postgresql_where=sa.text('decided_at is null'))
    op.drop_table('tds_run_holds')
