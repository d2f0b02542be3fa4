"""Days, differences and promotions of the cutover from an old sync"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
COUNTS = (
    ("old_count", "records in the old table"), ("here_count", "living rows of the mirror"), ("equal_count", None),
    ("duplicate_count", "old rows beyond the first"), ("unkeyed_count", "old rows without an id"),
    ("different_count", None), ("missing_old_count", None), ("missing_here_count", None), ("old_wrong_count", None),
    ("tds_wrong_count", None), ("both_wrong_count", None), ("changed_meanwhile_count", None), ("not_asked_count", None),
)  # fmt: skip
# A view under an old name may come before the table in a session's search path: functions go by the table.
FUNCTIONS = ("tds_get_queue_stats()", "tds_get_health_summary()")


def count(name, comment):
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False, comment=comment)


def upgrade() -> None:
    op.create_table('tds_cutover_days',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('day', sa.Date(), nullable=False, comment='in UTC'),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('mapping_digest', sa.Text(), nullable=False, comment='of the mapping file it was compared by'),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('started_at', INSTANT, server_default=sa.text('now()'), nullable=False),
    sa.Column('ended_at', INSTANT, nullable=True, comment='null: it did not end, and proves nothing'),
    *(count(name, comment) for name, comment in COUNTS),
    sa.Column('field_counts', postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False,
              comment='records that differ in a field, by field'),
    count('call_count', 'calls to the source'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_cutover_days'))
    )
    op.create_index('ix_tds_cutover_days_entity', 'tds_cutover_days', ['entity', 'day'])
    op.create_table('tds_cutover_differences',
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('day_id', sa.BigInteger(), nullable=False, comment='the comparison that saw it last'),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('fields', postgresql.ARRAY(sa.Text()), nullable=False,
              comment='the fields that differ; none where it is missing'),
    sa.Column('digest', sa.LargeBinary(), nullable=False,
              comment='of both sides: a verdict lasts while they stay as they were'),
    sa.Column('verdict', sa.Text(), server_default='not_asked', nullable=False),
    sa.Column('judged_at', INSTANT, nullable=True, comment='when its source was read for it'),
    sa.PrimaryKeyConstraint('entity', 'source_id', name=op.f('pk_tds_cutover_differences'))
    )
    op.create_table('tds_cutover_promotions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('promoted_at', INSTANT, server_default=sa.text('now()'), nullable=False),
    sa.Column('promoted_by', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False, comment='why it was forced; empty: the days allowed it'),
    sa.Column('mapping', sa.Text(), nullable=False, comment='the mapping file'),
    sa.Column('steps', postgresql.JSONB(), nullable=False, comment='subject, do and undo of each, in order'),
    sa.Column('ended_at', INSTANT, nullable=True, comment='when it was taken back'),
    sa.Column('ended_by', sa.Text(), nullable=True),
    sa.Column('end_reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_cutover_promotions'))
    )
    op.create_index('uq_tds_cutover_promotions_open', 'tds_cutover_promotions', [sa.text('(ended_at is null)')],
                    unique=True, postgresql_where=sa.text('ended_at is null'))
    for function in FUNCTIONS:
        op.execute(f"alter function {function} set search_path = public, pg_temp")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"alter function {function} reset search_path")
    op.drop_table('tds_cutover_promotions')
    op.drop_table('tds_cutover_differences')
    op.drop_table('tds_cutover_days')
