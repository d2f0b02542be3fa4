"""Configuration: settings changed at run time, one append-only row a version"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

APPEND_ONLY = """
create trigger tds_configuration_append_only before update or delete on tds_configuration
    for each row execute function tds_refuse_change();
create trigger tds_configuration_no_truncate before truncate on tds_configuration
    for each statement execute function tds_refuse_change();
"""


def upgrade() -> None:
    op.create_table('tds_configuration',
    sa.Column('key', sa.Text(), nullable=False, comment='the variable, TDS_GUARD_PERCENT'),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('value', postgresql.JSONB(none_as_null=True), nullable=True, comment="null: the environment's value is in force again"),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_by', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('key', 'version', name=op.f('pk_tds_configuration'))
    )
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.drop_table('tds_configuration')
