"""Write down who looks at a relay number and calls by it, and two more things that leave the house."""

from __future__ import annotations

import re

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

#: Table, column and name of the CHECK, and what it knows from now on.
KNOWN = (
    ("journal", "act", "ck_journal_act_known", ("show_relay", "call_by_relay")),
    ("exports", "what", "ck_exports_what_known", ("dispute_print", "model_card_json")),
)


def _know(table: str, column: str, check: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let a column hold these values too, or no longer, whatever else was added meanwhile."""
    written = op.get_bind().exec_driver_sql(
        f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{check}'"
    )
    known = [one for one in re.findall(r"'([a-z_]+)'", str(written.scalar_one())) if one not in {*add, *remove}]
    listed = ", ".join(f"'{one}'" for one in [*known, *add])
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({column} IN ({listed})) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {check}")


def upgrade() -> None:
    """Know the new acts and the new kinds of export."""
    for table, column, check, values in KNOWN:
        _know(table, column, check, add=values)


def downgrade() -> None:
    """Know them no longer; refused by the database once one of them was written down, because both are kept."""
    for table, column, check, values in reversed(KNOWN):
        _know(table, column, check, remove=values)
