"""Dead letters can be worked off: by whom, how often, in which batch, with what outcome; and taken in from elsewhere."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LETTERS, BATCHES = "tds_dead_letter_queue", "tds_dead_letter_batches"
REVIVALS, ACTIONS = "tds_dead_letter_revivals", "tds_dead_letter_actions"
OPEN = sa.text("resolved_at is null")
NOW = sa.text("now()")
INSTANT = sa.DateTime(timezone=True)
ADDED = ("last_dead_at", "automatic_count", "assigned_to", "edited_at", "foreign_id")

APPEND_ONLY = """
create trigger tds_dead_letter_actions_append_only before update or delete on tds_dead_letter_actions
    for each row execute function tds_refuse_change();
create trigger tds_dead_letter_actions_no_truncate before truncate on tds_dead_letter_actions
    for each statement execute function tds_refuse_change();
"""


def upgrade() -> None:
    _widen_letters()
    op.create_table(
        BATCHES,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("asked", postgresql.JSONB(), nullable=False, comment="which letters were asked for"),
        sa.Column("letter_count", sa.Integer(), nullable=False, comment="how many they were at that moment"),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("stepped_at", INSTANT, server_default=NOW, nullable=False, comment="when letters were last revived"),
        sa.Column("cancelled_at", INSTANT, nullable=True),
        sa.Column("cancelled_by", sa.Text(), nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True, comment="when the last of its letters had an outcome"),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tds_dead_letter_batches")),
    )
    op.create_index("ix_tds_dead_letter_batches_open", BATCHES, ["id"], postgresql_where=sa.text("ended_at is null"))
    _make_revivals()
    op.create_table(
        ACTIONS,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("letter_id", sa.BigInteger(), nullable=False),
        sa.Column("acted_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="imported, assigned, edited or resolved"),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(["letter_id"], [f"{LETTERS}.id"], name=op.f("fk_tds_dead_letter_actions_letter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tds_dead_letter_actions")),
    )
    op.create_index("ix_tds_dead_letter_actions_letter_id", ACTIONS, ["letter_id"])
    op.execute(APPEND_ONLY)


def _widen_letters() -> None:
    seen = "when it failed like this last, revived or met again"
    op.add_column(LETTERS, sa.Column("last_dead_at", INSTANT, server_default=NOW, nullable=False, comment=seen))
    op.execute(f"update {LETTERS} set last_dead_at = dead_at")
    often = "how often the timetable revived it"
    zero = sa.text("0")
    op.add_column(
        LETTERS, sa.Column("automatic_count", sa.Integer(), server_default=zero, nullable=False, comment=often)
    )
    op.add_column(LETTERS, sa.Column("assigned_to", sa.Text(), nullable=True))
    edited = "a person changed the record; the next revival applies it"
    op.add_column(LETTERS, sa.Column("edited_at", INSTANT, nullable=True, comment=edited))
    foreign = "its id in the system it was imported from"
    op.add_column(LETTERS, sa.Column("foreign_id", sa.Text(), nullable=True, comment=foreign))
    op.create_index(f"ix_{LETTERS}_record", LETTERS, ["entity", "source_id"], postgresql_where=OPEN)
    op.create_index(
        f"uq_{LETTERS}_foreign_id",
        LETTERS,
        ["source", "foreign_id"],
        unique=True,
        postgresql_where=sa.text("foreign_id is not null"),
    )


def _make_revivals() -> None:
    became = "what became of its record, or dead, cancelled, resolved, confirmed"
    op.create_table(
        REVIVALS,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("letter_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("died_of", sa.Text(), nullable=False, comment="what it was given up for before"),
        sa.Column("revived_at", INSTANT, nullable=True, comment="when it became a work item again"),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True, comment=became),
        sa.Column("error", sa.Text(), nullable=True, comment="what it died of again"),
        sa.ForeignKeyConstraint(["letter_id"], [f"{LETTERS}.id"], name=op.f("fk_tds_dead_letter_revivals_letter_id")),
        sa.ForeignKeyConstraint(["batch_id"], [f"{BATCHES}.id"], name=op.f("fk_tds_dead_letter_revivals_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tds_dead_letter_revivals")),
    )
    waiting = sa.text("revived_at is null and ended_at is null")
    op.create_index(
        f"uq_{REVIVALS}_open", REVIVALS, ["letter_id"], unique=True, postgresql_where=sa.text("ended_at is null")
    )
    op.create_index(f"ix_{REVIVALS}_letter_id", REVIVALS, ["letter_id"])
    op.create_index(f"ix_{REVIVALS}_waiting", REVIVALS, ["batch_id", "id"], postgresql_where=waiting)
    op.create_index(f"ix_{REVIVALS}_batch_id", REVIVALS, ["batch_id"])


def downgrade() -> None:
    for table in (ACTIONS, REVIVALS, BATCHES):
        op.drop_table(table)
    op.drop_index(f"uq_{LETTERS}_foreign_id", table_name=LETTERS)
    op.drop_index(f"ix_{LETTERS}_record", table_name=LETTERS)
    for column in ADDED:
        op.drop_column(LETTERS, column)
