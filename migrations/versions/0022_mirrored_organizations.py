"""The organisation whose records a mirror holds"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('tds_mirrored_organizations',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('source', name=op.f('pk_tds_mirrored_organizations')),
    )
    # A mirror whose connection names its organisation is of that one.
    op.execute("""
    insert into tds_mirrored_organizations (source, organization_id)
    select source, organization_id from tds_source_tokens where organization_id <> ''
    """)


def downgrade() -> None:
    op.drop_table('tds_mirrored_organizations')
