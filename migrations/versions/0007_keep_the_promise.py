"""Keep the limits of automatic dispatch and every change of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of limits."""
    op.create_table(
        "dispatch_limits",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="a category's code; empty for all"),
        sa.Column(
            "limit", sa.Float(), nullable=False, comment="probability that is needed; above 1 means people dispatch"
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("trials", sa.BigInteger(), nullable=False),
        sa.Column("right", sa.BigInteger(), nullable=False),
        sa.Column("lower", sa.Float(), nullable=False, comment="one-sided 95 % lower bound of the precision"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column("is_current", sa.Boolean(), server_default="true", nullable=False),
        sa.CheckConstraint(
            "state IN ('proven', 'unproven', 'tightened', 'closed')", name=op.f("ck_dispatch_limits_state_known")
        ),
        sa.CheckConstraint('"limit" BETWEEN 0 AND 1.01', name=op.f("ck_dispatch_limits_limit_range")),
        sa.CheckConstraint('"right" >= 0 AND "right" <= trials', name=op.f("ck_dispatch_limits_right_of_trials")),
        sa.CheckConstraint("lower BETWEEN 0 AND 1", name=op.f("ck_dispatch_limits_lower_range")),
        sa.CheckConstraint("(state = 'closed') = (\"limit\" > 1)", name=op.f("ck_dispatch_limits_closed_is_closed")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_dispatch_limits_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatch_limits")),
    )
    # One limit holds in each scope; read with every suggestion.
    op.create_index(
        "uq_dispatch_limits_current", "dispatch_limits", ["scope"], unique=True, postgresql_where=sa.text("is_current")
    )


def downgrade() -> None:
    """Take the table away; what the administrator set holds again for every category."""
    op.drop_index("uq_dispatch_limits_current", table_name="dispatch_limits")
    op.drop_table("dispatch_limits")
