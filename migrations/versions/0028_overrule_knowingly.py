"""Keep which rulings an edition of the dispatch catalogue overrules, and who said that it is meant."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# A ruling that does not bind, or that is cited no more, cannot be overruled; and a draft overrules nothing.
OVERRULES_WHAT_BINDS = """
CREATE FUNCTION overrules_what_binds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'what was overruled is kept as it was written down'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'overrulings_are_kept';
    END IF;
    IF NOT EXISTS (SELECT FROM rulings WHERE id = NEW.ruling_id AND state = 'in_force' AND retired_at IS NULL)
        OR NOT EXISTS (SELECT FROM catalogue_versions WHERE id = NEW.version_id AND state <> 'draft') THEN
        RAISE EXCEPTION 'a published edition overrules a ruling that binds'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'overrules_what_binds';
    END IF;
    RETURN NEW;
END $$
"""
TRIGGER = """
CREATE TRIGGER overrules_what_binds BEFORE INSERT OR UPDATE OR DELETE ON overrulings
FOR EACH ROW EXECUTE FUNCTION overrules_what_binds()
"""


def _know(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let the journal hold these acts too, or no longer, whatever else was added meanwhile."""
    written = op.get_bind().exec_driver_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'"
    )
    known = [one for one in re.findall(r"'([a-z_]+)'", str(written.scalar_one())) if one not in {*add, *remove}]
    listed = ", ".join(f"'{one}'" for one in [*known, *add])
    op.execute("ALTER TABLE journal DROP CONSTRAINT ck_journal_act_known")
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({listed})) NOT VALID")
    op.execute("ALTER TABLE journal VALIDATE CONSTRAINT ck_journal_act_known")


def upgrade() -> None:
    """Make the table and know the act."""
    op.create_table(
        "overrulings",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("ruling_id", sa.BigInteger(), nullable=False),
        sa.Column("instead", sa.Text(), nullable=False, comment="codes: who leads, then whom the edition leaves out"),
        sa.Column("words", sa.Text(), nullable=False, comment="the same in words"),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("instead <> '' AND words <> ''", name=op.f("ck_overrulings_says_what")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_overrulings_by_id")),
        sa.ForeignKeyConstraint(["ruling_id"], ["rulings.id"], name=op.f("fk_overrulings_ruling_id")),
        sa.ForeignKeyConstraint(["version_id"], ["catalogue_versions.id"], name=op.f("fk_overrulings_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_overrulings")),
    )
    op.create_index("uq_overrulings_ruling", "overrulings", ["ruling_id", "version_id"], unique=True)
    op.execute(OVERRULES_WHAT_BINDS)
    op.execute(TRIGGER)
    _know(add=("overrule",))


def downgrade() -> None:
    """Forget them; refused by the database once a journal speaks of one, because lines are kept."""
    op.drop_table("overrulings")
    op.execute("DROP FUNCTION overrules_what_binds()")
    _know(remove=("overrule",))
