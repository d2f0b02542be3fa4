"""Days of the cutover are those of the installation's time zone"""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column('tds_cutover_days', 'day', comment="of the installation's time zone")


def downgrade() -> None:
    op.alter_column('tds_cutover_days', 'day', comment='in UTC')
