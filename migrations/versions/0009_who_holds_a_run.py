"""Who holds a run, so that one whose worker is known to be dead need not wait for its lease."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tds_sync_runs", sa.Column("leased_by", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("tds_sync_runs", "leased_by")
