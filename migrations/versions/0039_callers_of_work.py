"""Who asked for a work item is found by its correlation id"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_tds_operator_actions_correlation", "tds_operator_actions", ["correlation_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_tds_operator_actions_correlation", table_name="tds_operator_actions")
