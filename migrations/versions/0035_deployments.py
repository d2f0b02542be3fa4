"""Deployments are recorded, and workers tell their version"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'tds_deployments',
        sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column('began_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
        sa.Column('version', sa.Text(), nullable=False),
        sa.Column('schema_revision', sa.Text(), nullable=False, comment='of the database, when it began'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_deployments')),
    )
    op.add_column('tds_listeners', sa.Column('version', sa.Text(), nullable=True, comment='of TDS; null: of a worker that does not tell'))


def downgrade() -> None:
    op.drop_column('tds_listeners', 'version')
    op.drop_table('tds_deployments')
