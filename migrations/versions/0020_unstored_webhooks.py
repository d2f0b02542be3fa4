"""Webhooks that were answered 503, counted by minute and reason"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_unstored_webhooks',
    sa.Column('minute', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('webhook_count', sa.BigInteger(), nullable=False),
    sa.Column('first_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('minute', 'reason', name=op.f('pk_tds_unstored_webhooks')),
    )


def downgrade() -> None:
    op.drop_table('tds_unstored_webhooks')
