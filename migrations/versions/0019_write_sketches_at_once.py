"""Write the numbers of sketches into their index at once.

A question looks sixty numbers up, and each look-up would read the whole list of what is not folded in yet.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let no list of pending entries grow; what waits in it is folded in by the next vacuum."""
    op.execute("ALTER INDEX ix_ticket_sketches_keys SET (fastupdate = off)")


def downgrade() -> None:
    """Let entries wait again, as PostgreSQL does by itself."""
    op.execute("ALTER INDEX ix_ticket_sketches_keys RESET (fastupdate)")
