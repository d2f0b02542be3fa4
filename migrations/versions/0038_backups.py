"""Backups, and restores of them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table('tds_backups',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False, comment='of its folder; empty: it failed before there was one'),
    sa.Column('kind', sa.Text(), nullable=False, comment='full or incremental'),
    sa.Column('started_at', INSTANT, nullable=False),
    sa.Column('ended_at', INSTANT, server_default=sa.text('now()'), nullable=False),
    sa.Column('byte_count', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('error', sa.Text(), nullable=True, comment='why it failed; null: it is whole'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_backups'))
    )
    op.create_index('ix_tds_backups_ended_at', 'tds_backups', ['ended_at'])
    op.create_table('tds_restores',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='drill, or restore: it took the place of the database'),
    sa.Column('backup', sa.Text(), nullable=False, comment='the name of the newest backup it began from'),
    sa.Column('target_at', INSTANT, nullable=True, comment='the moment asked for; null: the newest'),
    sa.Column('reached_at', INSTANT, nullable=True, comment='when the newest change it holds was made'),
    sa.Column('started_at', INSTANT, nullable=False),
    sa.Column('ended_at', INSTANT, server_default=sa.text('now()'), nullable=False),
    sa.Column('error', sa.Text(), nullable=True, comment='what was wrong; null: nothing'),
    sa.Column('steps', postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False,
              comment='name, seconds and result of each step'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_restores'))
    )
    op.create_index('ix_tds_restores_ended_at', 'tds_restores', ['ended_at'])


def downgrade() -> None:
    op.drop_table('tds_restores')
    op.drop_table('tds_backups')
