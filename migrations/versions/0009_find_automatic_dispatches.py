"""Find what went out by itself lately without reading what people sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index of the list of automatic dispatches."""
    op.create_index("ix_dispatches_automatic", "dispatches", ["sent_at", "id"], postgresql_where=sa.text("automatic"))


def downgrade() -> None:
    """Take the index away."""
    op.drop_index("ix_dispatches_automatic", table_name="dispatches")
