"""Entities whose work an operator lets wait"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_queue_pauses',
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('paused_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('paused_by', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('entity', name=op.f('pk_tds_queue_pauses')),
    )


def downgrade() -> None:
    op.drop_table('tds_queue_pauses')
