"""What work that failed waits for, and since when: so that an outage costs no attempts, and its end is noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WAITS = sa.text("waits_for is not null")
COMMENTS = {
    "tds_sync_queue": ("times its reading failed, counted as attempts or not", "when it did so last"),
    "tds_sync_runs": ("the same, also those that do not count as attempts", "when the last of them was"),
}


def upgrade() -> None:
    for table, (failures, failed_at) in COMMENTS.items():
        zero = sa.text("0")
        op.add_column(table, sa.Column("failures", sa.Integer(), server_default=zero, nullable=False, comment=failures))
        op.add_column(table, sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True, comment=failed_at))
        comment = "the circuit breaker whose closing ends the wait"
        op.add_column(table, sa.Column("waits_for", sa.Text(), nullable=True, comment=comment))
    order = ["entity", "waits_for", "failures", "priority", "next_attempt_at"]
    op.create_index("ix_tds_sync_queue_waits", "tds_sync_queue", order, postgresql_where=WAITS)
    op.create_index("ix_tds_sync_runs_waits", "tds_sync_runs", ["waits_for"], postgresql_where=WAITS)


def downgrade() -> None:
    for table in COMMENTS:
        op.drop_index(f"ix_{table}_waits", table_name=table)
        for column in ("waits_for", "failed_at", "failures"):
            op.drop_column(table, column)
