"""Events are partitioned by day; old ones are dropped whole"""

from alembic import op

from tds_core.schema import partition_conversion
from tds_models.partitions import PARTITIONED

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    partition_conversion.convert(op.get_bind(), PARTITIONED["tds_inbox_events"])


def downgrade() -> None:
    partition_conversion.revert(op.get_bind(), PARTITIONED["tds_inbox_events"])
