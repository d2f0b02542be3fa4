"""The audit log is read by entity in the order of time"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_tds_audit_trail_newest', 'tds_audit_trail', ['entity', 'recorded_at', 'id'], unique=False)
    op.create_index('ix_tds_operator_actions_entity', 'tds_operator_actions', ['entity', 'recorded_at', 'id'],
                    unique=False, postgresql_where=sa.text('entity is not null'))


def downgrade() -> None:
    op.drop_index('ix_tds_operator_actions_entity', table_name='tds_operator_actions')
    op.drop_index('ix_tds_audit_trail_newest', table_name='tds_audit_trail')
