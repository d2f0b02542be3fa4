"""What the story of a record is read by: the call of an attempt, the record a refused delivery names, and indexes"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

EXCHANGE = "the call it was read with: path, status, code, seconds; none where a webhook's body was enough"


def upgrade() -> None:
    op.add_column('tds_sync_logs', sa.Column('exchange', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment=EXCHANGE))
    op.add_column('tds_rejected_deliveries', sa.Column('entity', sa.Text(), nullable=True, comment='what it says it is about; nobody proved it'))
    op.add_column('tds_rejected_deliveries', sa.Column('source_id', sa.Text(), nullable=True))
    op.create_index('ix_tds_rejected_deliveries_record', 'tds_rejected_deliveries', ['entity', 'source_id', 'id'], unique=False, postgresql_where=sa.text('source_id is not null'))
    op.create_index('ix_tds_dead_letter_queue_story', 'tds_dead_letter_queue', ['entity', 'source_id', 'id'], unique=False)
    op.create_index('ix_tds_sync_runs_targeted', 'tds_sync_runs', ['entity', 'id'], unique=False, postgresql_where=sa.text("mode = 'targeted'"))


def downgrade() -> None:
    op.drop_index('ix_tds_sync_runs_targeted', table_name='tds_sync_runs')
    op.drop_index('ix_tds_dead_letter_queue_story', table_name='tds_dead_letter_queue')
    op.drop_index('ix_tds_rejected_deliveries_record', table_name='tds_rejected_deliveries')
    op.drop_column('tds_rejected_deliveries', 'source_id')
    op.drop_column('tds_rejected_deliveries', 'entity')
    op.drop_column('tds_sync_logs', 'exchange')
