"""Tests of channels are kept with their deliveries, without an alert"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column('tds_alert_deliveries', 'alert_id', nullable=True, comment='none: a test of the channel')


def downgrade() -> None:
    op.execute("delete from tds_alert_deliveries where alert_id is null")
    op.alter_column('tds_alert_deliveries', 'alert_id', nullable=False, comment=None)
