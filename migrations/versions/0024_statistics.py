"""Statistics by hour and day, and samples of uptime"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_statistics_history',
    sa.Column('entity', sa.Text(), nullable=False, comment='installation: what is of no entity'),
    sa.Column('grain', sa.Text(), nullable=False),
    sa.Column('began_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('figures', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True, comment='null: not measured within the span'),
    sa.Column('measured_at', sa.DateTime(timezone=True), nullable=True, comment='when the figures were measured'),
    sa.Column('activity', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True, comment='null: not counted yet'),
    sa.CheckConstraint("grain in ('hour', 'day')", name=op.f('ck_tds_statistics_history_grain')),
    sa.PrimaryKeyConstraint('entity', 'grain', 'began_at', name=op.f('pk_tds_statistics_history')),
    )
    op.create_index('ix_tds_statistics_history_began_at', 'tds_statistics_history', ['grain', 'began_at'], unique=False)
    op.create_table('tds_uptime_samples',
    sa.Column('sampled_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('is_up', sa.Boolean(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True, comment='what stood still; null while up'),
    sa.PrimaryKeyConstraint('sampled_at', name=op.f('pk_tds_uptime_samples')),
    )
    # How many dead letters were open at once is counted from those that were open, or resolved lately.
    op.create_index('ix_tds_dead_letter_queue_resolved', 'tds_dead_letter_queue', ['resolved_at'], unique=False, postgresql_where=sa.text('resolved_at is not null'))


def downgrade() -> None:
    op.drop_index('ix_tds_dead_letter_queue_resolved', table_name='tds_dead_letter_queue', postgresql_where=sa.text('resolved_at is not null'))
    op.drop_table('tds_uptime_samples')
    op.drop_index('ix_tds_statistics_history_began_at', table_name='tds_statistics_history')
    op.drop_table('tds_statistics_history')
