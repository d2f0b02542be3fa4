"""What may not be read, what was granted, and how the token endpoint answered"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table('tds_missing_permissions',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('api', sa.Text(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False, comment='the record; empty: the whole module'),
    sa.Column('scope', sa.Text(), nullable=False, comment='what the source calls the right to read the module'),
    sa.Column('says', sa.Text(), nullable=False, comment='how the source refused it'),
    sa.Column('refused_at', INSTANT, server_default=sa.text('now()'), nullable=False,
              comment='when it did so first'),
    sa.Column('refusal_count', sa.Integer(), server_default=sa.text('1'), nullable=False),
    sa.Column('paused_until', INSTANT, nullable=False, comment='nobody asks for it until then'),
    sa.Column('refused_token', sa.LargeBinary(), nullable=True,
              comment='a digest of the access token that was good, and refused for this; null: in doubt'),
    sa.PrimaryKeyConstraint('source', 'api', 'path', 'source_id', name=op.f('pk_tds_missing_permissions')),
    )
    for column in (
        sa.Column('block_reason', sa.Text(), nullable=True, comment='what it said last, if that was no token'),
        sa.Column('failed_count', sa.Integer(), server_default=sa.text('0'), nullable=False,
                  comment='answers in a row that were neither a token nor a lasting refusal'),
        sa.Column('scopes', sa.ARRAY(sa.Text()), nullable=True,
                  comment='what the connection was granted; null: no token answer said so'),
        sa.Column('renewals_since', INSTANT, nullable=True,
                  comment='since then tokens that should have lived were renewed'),
        sa.Column('renewal_count', sa.Integer(), server_default=sa.text('0'), nullable=False,
                  comment='how many, since then'),
    ):
        op.add_column('tds_source_tokens', column)


def downgrade() -> None:
    for name in ('renewal_count', 'renewals_since', 'scopes', 'failed_count', 'block_reason'):
        op.drop_column('tds_source_tokens', name)
    op.drop_table('tds_missing_permissions')
