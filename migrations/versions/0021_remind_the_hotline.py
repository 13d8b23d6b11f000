"""Let supervision remind the hotline itself: of returns that nobody ruled on, of answers that nobody read."""

from __future__ import annotations

import re

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TRIGGERS = ("return_unruled", "answer_unread")


def _know(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let alarms hold these triggers too, or no longer, whatever else was added meanwhile."""
    written = op.get_bind().exec_driver_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_alarms_trigger_known'"
    )
    known = [one for one in re.findall(r"'([a-z_]+)'", str(written.scalar_one())) if one not in {*add, *remove}]
    listed = ", ".join(f"'{one}'" for one in [*known, *add])
    op.execute("ALTER TABLE alarms DROP CONSTRAINT ck_alarms_trigger_known")
    op.execute(f"ALTER TABLE alarms ADD CONSTRAINT ck_alarms_trigger_known CHECK (trigger IN ({listed}))")


def upgrade() -> None:
    """Know both triggers."""
    _know(add=TRIGGERS)


def downgrade() -> None:
    """Forget both triggers and what they raised; what the ticket's journal tells stays."""
    op.execute("DELETE FROM alarms WHERE trigger IN ('return_unruled', 'answer_unread')")
    _know(remove=TRIGGERS)
