"""Keep every human decision as a labelled example."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TASKS = "task IN ('category', 'department', 'request_type')"
_PROVENANCES = (
    "provenance IN ('chosen', 'accepted', 'changed', 'proposed', 'amended', 'redispatched', 'answered', "
    "'return_upheld', 'return_refused', 'audited', 'ruled')"
)


def upgrade() -> None:
    """Make the table of examples."""
    op.create_table(
        "training_labels",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False, comment="a code, never words of a citizen"),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False, comment="what it counts in training; 1 is a first choice"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a better founded decision took its place",
        ),
        sa.CheckConstraint(_TASKS, name=op.f("ck_training_labels_task_known")),
        sa.CheckConstraint(_PROVENANCES, name=op.f("ck_training_labels_provenance_known")),
        sa.CheckConstraint("label <> ''", name=op.f("ck_training_labels_says_something")),
        sa.CheckConstraint("weight > 0 AND weight <= 10", name=op.f("ck_training_labels_weight_range")),
        sa.CheckConstraint(
            "superseded_at IS NULL OR superseded_at >= at", name=op.f("ck_training_labels_superseded_later")
        ),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_training_labels_by_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_training_labels_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_labels")),
    )
    # What holds of a ticket now? One answer for each task, and the set that is learnt from.
    op.create_index(
        "uq_training_labels_current",
        "training_labels",
        ["ticket_id", "task"],
        unique=True,
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    # Every decision about a ticket, in order.
    op.create_index("ix_training_labels_ticket_id", "training_labels", ["ticket_id", "id"])
    # What was decided since a moment? The newest weeks, and whether enough came in to learn again.
    op.create_index(
        "ix_training_labels_at", "training_labels", ["task", "at"], postgresql_where=sa.text("superseded_at IS NULL")
    )


def downgrade() -> None:
    """Take the table away; what people decided stays in the journal, the examples are lost."""
    op.drop_index("ix_training_labels_at", table_name="training_labels")
    op.drop_index("ix_training_labels_ticket_id", table_name="training_labels")
    op.drop_index("uq_training_labels_current", table_name="training_labels")
    op.drop_table("training_labels")
