"""Which state of a record is kept, by which door it came, and when a product or location was last seen whole"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

ENTITIES = (
    "location",
    "category",
    "user",
    "product",
    "customer",
    "vendor",
    "price_list",
    "stock_level",
    "sales_order",
    "invoice",
    "customer_payment",
    "credit_note",
    "bill",
    "stock_adjustment",
)
HEADER_FIRST = ("location", "product")
AT = "when the source last changed the state in source_record; before source_modified_at: it is older"
SEEN = "the door source_record came by: list, part (of a webhook), body or detail; null: not known"
RECORD = "the record as the source sent it"
WHOLE = "when the record was last seen whole, with its lines; null: only a list row since it changed"


def upgrade() -> None:
    for name in ENTITIES:
        op.add_column(name, sa.Column("source_record_at", sa.DateTime(timezone=True), comment=AT), schema="erp")
        op.add_column(name, sa.Column("source_record_seen", sa.Text(), comment=SEEN), schema="erp")
        _say(name, f"{RECORD}: one state of it, never two put together")
    for name in HEADER_FIRST:
        op.add_column(name, sa.Column("lines_confirmed_at", sa.DateTime(timezone=True), comment=WHOLE), schema="erp")


def downgrade() -> None:
    for name in HEADER_FIRST:
        op.drop_column(name, "lines_confirmed_at", schema="erp")
    for name in ENTITIES:
        op.drop_column(name, "source_record_seen", schema="erp")
        op.drop_column(name, "source_record_at", schema="erp")
        _say(name, RECORD)


def _say(name: str, comment: str) -> None:
    op.execute(f"comment on column erp.{name}.source_record is '{comment}'")
