"""Mark calls that harass the hotline, and limit callers for a time when a second person confirms it."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ACTS = ("mark_harassment", "clear_harassment", "ask_limit", "limit_caller", "refuse_limit", "lift_limit")

# How many calls are marked, how many wishes wait: the menu and the desk ask for these with every page.
COUNT = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    net bigint := 0;
BEGIN
    IF TG_OP <> 'DELETE' THEN net := net + (SELECT count(*) FROM new_rows WHERE {counted}); END IF;
    IF TG_OP <> 'INSERT' THEN net := net - (SELECT count(*) FROM old_rows WHERE {counted}); END IF;
    IF net <> 0 THEN INSERT INTO counter_deltas (name, delta) VALUES ('{name}', net); END IF;
    RETURN NULL;
END $$
"""
COUNTED = (
    ("harassment_marks", "count_harassment_marks", "cleared_at IS NULL", "harassment.marks"),
    ("caller_limits", "count_caller_limits", "state = 'asked'", "harassment.asked"),
)
EVENTS = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}


def _acts(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let the journal hold these acts too, or no longer, whatever else was added meanwhile."""
    written = op.get_bind().exec_driver_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'"
    )
    known = [act for act in re.findall(r"'([a-z_]+)'", str(written.scalar_one())) if act not in {*add, *remove}]
    listed = ", ".join(f"'{act}'" for act in [*known, *add])
    op.execute("ALTER TABLE journal DROP CONSTRAINT ck_journal_act_known")
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({listed})) NOT VALID")
    op.execute("ALTER TABLE journal VALIDATE CONSTRAINT ck_journal_act_known")


def upgrade() -> None:
    """Make both tables, count them, and know the acts."""
    op.create_table(
        "harassment_marks",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False, comment="the ticket of that call"),
        sa.Column("phone_index", sa.LargeBinary(), nullable=False, comment="keyed fingerprint of the phone"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False, comment="what was said and done, redacted"),
        sa.Column("warned", sa.Boolean(), server_default="false", nullable=False, comment="the caller was warned then"),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("marked_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "cleared_at", sa.DateTime(timezone=True), nullable=True, comment="taken back; does not count any more"
        ),
        sa.Column("cleared_by", sa.BigInteger(), nullable=True),
        sa.Column("cleared_why", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "kind IN ('abuse', 'indecent', 'nuisance', 'false_report')", name=op.f("ck_harassment_marks_kind_known")
        ),
        sa.CheckConstraint(
            "char_length(evidence) BETWEEN 10 AND 1000", name=op.f("ck_harassment_marks_evidence_length")
        ),
        sa.CheckConstraint(
            "(cleared_at IS NULL) = (cleared_why = '')", name=op.f("ck_harassment_marks_cleared_with_a_reason")
        ),
        sa.ForeignKeyConstraint(["cleared_by"], ["users.id"], name=op.f("fk_harassment_marks_cleared_by")),
        sa.ForeignKeyConstraint(["marked_by"], ["users.id"], name=op.f("fk_harassment_marks_marked_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_harassment_marks_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_harassment_marks")),
    )
    op.create_index(
        "uq_harassment_marks_standing",
        "harassment_marks",
        ["ticket_id"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index(
        "ix_harassment_marks_phone_index",
        "harassment_marks",
        ["phone_index", "id"],
        unique=False,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "caller_limits",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False, comment="the ticket whose journal tells of it"),
        sa.Column("phone_index", sa.LargeBinary(), nullable=False, comment="keyed fingerprint of the phone"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_words", sa.Text(), server_default="", nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.BigInteger(), nullable=True),
        sa.Column("lifted_why", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "state IN ('asked', 'in_force', 'refused', 'lifted')", name=op.f("ck_caller_limits_state_known")
        ),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_caller_limits_has_reason")),
        sa.CheckConstraint("(state = 'asked') = (decided_at IS NULL)", name=op.f("ck_caller_limits_decided_has_time")),
        sa.CheckConstraint(
            "decided_by IS NULL OR decided_by <> asked_by", name=op.f("ck_caller_limits_confirmed_by_another")
        ),
        sa.CheckConstraint(
            "(state IN ('in_force', 'lifted')) = (ends_at IS NOT NULL)", name=op.f("ck_caller_limits_in_force_has_end")
        ),
        sa.CheckConstraint(
            "ends_at > decided_at AND ends_at <= decided_at + interval '30 days'",
            name=op.f("ck_caller_limits_limited_in_time"),
        ),
        sa.CheckConstraint(
            "(state = 'lifted') = (lifted_at IS NOT NULL)", name=op.f("ck_caller_limits_lifted_has_time")
        ),
        sa.ForeignKeyConstraint(["asked_by"], ["users.id"], name=op.f("fk_caller_limits_asked_by")),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_caller_limits_decided_by")),
        sa.ForeignKeyConstraint(["lifted_by"], ["users.id"], name=op.f("fk_caller_limits_lifted_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_caller_limits_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_caller_limits")),
    )
    op.create_index(
        "uq_caller_limits_asked",
        "caller_limits",
        ["phone_index"],
        unique=True,
        postgresql_where=sa.text("state = 'asked'"),
    )
    op.create_index(
        "ix_caller_limits_phone_index",
        "caller_limits",
        ["phone_index", "ends_at"],
        unique=False,
        postgresql_where=sa.text("state = 'in_force'"),
    )
    op.create_index("ix_caller_limits_state", "caller_limits", ["state", "id"], unique=False)
    for table, function, counted, name in COUNTED:
        op.execute(COUNT.format(function=function, counted=counted, name=name))
        for event, rows in EVENTS.items():
            op.execute(
                f"CREATE TRIGGER {function}_{event.lower()} AFTER {event} ON {table} "
                f"REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
            )
    _acts(add=ACTS)


def downgrade() -> None:
    """Take both tables away; refused by the database once the journal tells of them, because the journal is kept."""
    _acts(remove=ACTS)
    for table, function, _counted, name in reversed(COUNTED):
        op.execute(f"DELETE FROM counters WHERE name = '{name}'")
        op.execute(f"DELETE FROM counter_deltas WHERE name = '{name}'")
        op.drop_table(table)
        op.execute(f"DROP FUNCTION {function}()")
