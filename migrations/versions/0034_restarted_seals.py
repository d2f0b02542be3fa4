"""The chain of seals can be begun anew, and says who did so and why"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('tds_audit_seals', sa.Column('note', sa.Text(), nullable=True, comment='of a restarted seal: who began the chain anew, and why'))
    op.alter_column('tds_audit_seals', 'kind', existing_type=sa.Text(), existing_nullable=False,
                    comment='rows, retired or restarted', existing_comment='rows or retired')


def downgrade() -> None:
    op.alter_column('tds_audit_seals', 'kind', existing_type=sa.Text(), existing_nullable=False,
                    comment='rows or retired', existing_comment='rows, retired or restarted')
    op.drop_column('tds_audit_seals', 'note')
