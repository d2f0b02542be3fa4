"""Records of which only a webhook has spoken, and ids the source does not have"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_strangers',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('told_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('absent_at', sa.DateTime(timezone=True), nullable=True, comment='when the source said that it has none'),
    sa.PrimaryKeyConstraint('source', 'entity', 'source_id', name=op.f('pk_tds_strangers')),
    )
    op.create_index('ix_tds_strangers_due', 'tds_strangers', ['told_at'], postgresql_where=sa.text('absent_at is null'))


def downgrade() -> None:
    op.drop_table('tds_strangers')
