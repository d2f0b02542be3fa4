"""Differences a repair would read are counted by an index"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_tds_comparison_differences_repairable', 'tds_comparison_differences', ['comparison_id', 'entity', 'source_id'], unique=False, postgresql_where=sa.text("state = 'confirmed'"))


def downgrade() -> None:
    op.drop_index('ix_tds_comparison_differences_repairable', table_name='tds_comparison_differences', postgresql_where=sa.text("state = 'confirmed'"))
