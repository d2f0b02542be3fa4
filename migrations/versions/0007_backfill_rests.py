"""Until when back-fill leaves an API alone, because its share of the quota is used."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tds_backfill_rests",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("api", sa.Text(), nullable=False),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "api", name="pk_tds_backfill_rests"),
    )


def downgrade() -> None:
    op.drop_table("tds_backfill_rests")
