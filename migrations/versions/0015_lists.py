"""What lists of events, actions and runs are read by: their order, what is counted of them, and what is rare"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

RARE = "verdict in ('superseded', 'stale', 'deleted', 'quarantined', 'dead_lettered')"
UNHAPPY = "outcome in ('refused', 'failed')"


def upgrade() -> None:
    op.create_index('ix_tds_inbox_events_received', 'tds_inbox_events', ['received_at', 'id'], unique=False, postgresql_include=['entity', 'verdict'])
    op.create_index('ix_tds_inbox_events_rare', 'tds_inbox_events', ['verdict', 'received_at', 'id'], unique=False, postgresql_where=sa.text(RARE))
    op.drop_index('ix_tds_inbox_events_received_at', table_name='tds_inbox_events', postgresql_using='brin')
    op.create_index('ix_tds_operator_actions_recorded', 'tds_operator_actions', ['recorded_at', 'id'], unique=False)
    op.create_index('ix_tds_operator_actions_unhappy', 'tds_operator_actions', ['outcome', 'recorded_at', 'id'], unique=False, postgresql_where=sa.text(UNHAPPY))
    op.drop_index('ix_tds_operator_actions_recorded_at', table_name='tds_operator_actions', postgresql_using='brin')
    op.create_index('ix_tds_healing_actions_outcome', 'tds_healing_actions', ['outcome', 'id'], unique=False, postgresql_where=sa.text("outcome <> 'done'"))
    op.create_index('ix_tds_sync_runs_state', 'tds_sync_runs', ['state', 'id'], unique=False, postgresql_where=sa.text("state <> 'completed'"))


def downgrade() -> None:
    op.drop_index('ix_tds_sync_runs_state', table_name='tds_sync_runs')
    op.drop_index('ix_tds_healing_actions_outcome', table_name='tds_healing_actions')
    op.create_index('ix_tds_operator_actions_recorded_at', 'tds_operator_actions', ['recorded_at'], unique=False, postgresql_using='brin')
    op.drop_index('ix_tds_operator_actions_unhappy', table_name='tds_operator_actions')
    op.drop_index('ix_tds_operator_actions_recorded', table_name='tds_operator_actions')
    op.create_index('ix_tds_inbox_events_received_at', 'tds_inbox_events', ['received_at'], unique=False, postgresql_using='brin')
    op.drop_index('ix_tds_inbox_events_rare', table_name='tds_inbox_events')
    op.drop_index('ix_tds_inbox_events_received', table_name='tds_inbox_events')
