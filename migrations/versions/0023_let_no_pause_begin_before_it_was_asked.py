"""Let no pause begin before somebody asked for it."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

NAME = "ck_adjustments_begins_when_asked"


def upgrade() -> None:
    """Hold it for new rows at once, then for the old ones without standing in anybody's way."""
    op.execute(
        f"ALTER TABLE adjustments ADD CONSTRAINT {NAME} CHECK (kind <> 'suspension' OR starts_at >= asked_at) NOT VALID"
    )
    op.execute(f"ALTER TABLE adjustments VALIDATE CONSTRAINT {NAME}")


def downgrade() -> None:
    """Take the rule away; no row changes."""
    op.execute(f"ALTER TABLE adjustments DROP CONSTRAINT {NAME}")
