"""Let deadlines be suspended, extended and reclassified, as rows that every count reads."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACTS = (
    "ask_suspension",
    "ask_extension",
    "take_back",
    "suspend",
    "resume",
    "extend",
    "refuse_time",
    "reclassify",
)

# A ticket that is answered or taken away has nothing that stands and nothing that is asked for, whoever takes it away.
# A pause that runs ends with it, so that no later count reads a pause that nobody took.
LEAVES_HANDS = """
CREATE FUNCTION dispatch_leaves_hands() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    left_at timestamptz := coalesce(NEW.answered_at, NEW.ended_at);
BEGIN
    IF left_at IS NULL OR coalesce(OLD.answered_at, OLD.ended_at) IS NOT NULL THEN
        RETURN NEW;
    END IF;
    NEW.suspended_until := NULL;
    UPDATE adjustments SET state = 'lapsed' WHERE dispatch_id = NEW.id AND state = 'asked';
    UPDATE adjustments SET ends_at = greatest(left_at, starts_at + interval '1 second'), resumed_at = left_at
    WHERE dispatch_id = NEW.id AND kind = 'suspension' AND state = 'approved' AND ends_at > left_at;
    RETURN NEW;
END $$
"""

LEAVES_HANDS_TRIGGER = """
CREATE TRIGGER dispatch_leaves_hands BEFORE UPDATE OF answered_at, ended_at ON dispatches
FOR EACH ROW EXECUTE FUNCTION dispatch_leaves_hands()
"""

# As for tickets: each statement writes its net change once (0001).
COUNT = """
CREATE FUNCTION count_adjustments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counter_deltas (name, delta) SELECT 'adjustments.waiting', count(*) FROM new_rows
        WHERE state = 'asked' HAVING count(*) > 0;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO counter_deltas (name, delta) SELECT 'adjustments.waiting', sum(delta) FROM (
            SELECT 1 AS delta FROM new_rows WHERE state = 'asked'
            UNION ALL SELECT -1 FROM old_rows WHERE state = 'asked'
        ) AS changed HAVING coalesce(sum(delta), 0) <> 0;
    ELSE
        INSERT INTO counter_deltas (name, delta) SELECT 'adjustments.waiting', -count(*) FROM old_rows
        WHERE state = 'asked' HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create the two tables, the columns of the dispatch, the triggers, and let the journal know the acts."""
    op.add_column(
        "dispatches",
        sa.Column(
            "terms",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="source, type, urgency and class that the profile was asked with",
        ),
    )
    op.add_column(
        "dispatches",
        sa.Column(
            "suspended_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the clock stands until then (挂起)",
        ),
    )
    op.create_check_constraint(
        op.f("ck_dispatches_only_held_ones_stand"),
        "dispatches",
        "suspended_until IS NULL OR (answered_at IS NULL AND ended_at IS NULL)",
    )
    op.create_table(
        "profile_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column(
            "body",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="routing.clocks.profiles.Profile.to_mapping",
        ),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_profile_versions")),
    )
    op.create_table(
        "adjustments",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "cause", sa.Text(), server_default="", nullable=False, comment="type of a suspension, of the profile"
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="redacted words"),
        sa.Column("basis", sa.Text(), server_default="", nullable=False, comment="rule that an extension rests on"),
        sa.Column("evidence_id", sa.BigInteger(), nullable=True),
        sa.Column("workdays", sa.BigInteger(), nullable=True, comment="how many an extension adds"),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "ends_at", sa.DateTime(timezone=True), nullable=True, comment="when the clock runs again, or ran again"
        ),
        sa.Column(
            "latest_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the furthest end that the profile allows this cause",
        ),
        sa.Column(
            "max_workdays", sa.BigInteger(), nullable=True, comment="the longest that the profile allows this cause"
        ),
        sa.Column("higher_level", sa.Boolean(), server_default="false", nullable=False, comment="a further extension"),
        sa.Column(
            "terms",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="type, urgency, class since",
        ),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_words", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "resumed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the clock runs again since, noticed by the schedule",
        ),
        sa.CheckConstraint(
            "kind IN ('suspension', 'extension', 'reclassification', 'return_refused')",
            name=op.f("ck_adjustments_kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('asked', 'approved', 'refused', 'lapsed')", name=op.f("ck_adjustments_state_known")
        ),
        sa.CheckConstraint(
            "(state IN ('approved', 'refused')) = (decided_at IS NOT NULL)",
            name=op.f("ck_adjustments_decided_has_time"),
        ),
        sa.CheckConstraint("state <> 'refused' OR decided_words <> ''", name=op.f("ck_adjustments_refused_has_words")),
        sa.CheckConstraint(
            "kind <> 'suspension' OR (cause <> '' AND evidence_id IS NOT NULL AND starts_at IS NOT NULL"
            " AND ends_at IS NOT NULL AND latest_at IS NOT NULL AND max_workdays IS NOT NULL)",
            name=op.f("ck_adjustments_suspension_is_whole"),
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_adjustments_interval_has_length")),
        sa.CheckConstraint("ends_at <= latest_at", name=op.f("ck_adjustments_no_longer_than_allowed")),
        sa.CheckConstraint(
            "latest_at - starts_at <= max_workdays * interval '72 hours' + interval '360 hours'",
            name=op.f("ck_adjustments_allowed_is_plausible"),
        ),
        sa.CheckConstraint(
            "kind <> 'extension' OR (coalesce(workdays, 0) BETWEEN 1 AND 1000 AND basis <> '' AND reason <> '')",
            name=op.f("ck_adjustments_extension_is_whole"),
        ),
        sa.CheckConstraint(
            "kind NOT IN ('suspension', 'extension') OR decided_by IS DISTINCT FROM asked_by OR asked_by IS NULL",
            name=op.f("ck_adjustments_two_persons"),
        ),
        sa.CheckConstraint(
            "resumed_at IS NULL OR (kind = 'suspension' AND state = 'approved')",
            name=op.f("ck_adjustments_only_pauses_resume"),
        ),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_adjustments_ticket_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_adjustments_dispatch_id")),
        sa.ForeignKeyConstraint(["evidence_id"], ["attachments.id"], name=op.f("fk_adjustments_evidence_id")),
        sa.ForeignKeyConstraint(["asked_by"], ["users.id"], name=op.f("fk_adjustments_asked_by")),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_adjustments_decided_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustments")),
        postgresql.ExcludeConstraint(
            (sa.text("int8range(dispatch_id, dispatch_id, '[]')"), "&&"),
            (sa.text("tstzrange(starts_at, ends_at)"), "&&"),
            using="gist",
            where=sa.text("kind = 'suspension' AND state = 'approved'"),
            name=op.f("ex_adjustments_one_pause_at_a_time"),
        ),
    )
    op.create_index(
        "uq_adjustments_asked",
        "adjustments",
        ["dispatch_id", "kind"],
        unique=True,
        postgresql_where=sa.text("state = 'asked'"),
    )
    op.create_index(
        "uq_adjustments_extended",
        "adjustments",
        ["dispatch_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'extension' AND state = 'approved' AND NOT higher_level"),
    )
    op.create_index(
        "ix_adjustments_waiting", "adjustments", ["asked_at", "id"], postgresql_where=sa.text("state = 'asked'")
    )
    op.create_index(
        "ix_adjustments_decided",
        "adjustments",
        [sa.literal_column("decided_at DESC"), sa.literal_column("id DESC")],
        postgresql_where=sa.text("decided_at IS NOT NULL"),
    )
    op.create_index(
        "ix_adjustments_standing",
        "adjustments",
        ["ends_at"],
        postgresql_where=sa.text("kind = 'suspension' AND state = 'approved' AND resumed_at IS NULL"),
    )
    op.create_index("ix_adjustments_ticket_id", "adjustments", ["ticket_id", "id"])
    op.execute(LEAVES_HANDS)
    op.execute(LEAVES_HANDS_TRIGGER)
    op.execute(COUNT)
    for event, tables in (
        ("INSERT", "NEW TABLE AS new_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        ("DELETE", "OLD TABLE AS old_rows"),
    ):
        op.execute(
            f"CREATE TRIGGER count_adjustments_{event.lower()} AFTER {event} ON adjustments REFERENCING {tables}"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_adjustments()"
        )
    _acts(add=ACTS)


def downgrade() -> None:
    """Forget every change of a clock; deadlines stay as they were counted last, and lines of the journal stay."""
    _acts(remove=ACTS)
    op.execute("DROP TRIGGER dispatch_leaves_hands ON dispatches")
    op.execute("DROP FUNCTION dispatch_leaves_hands()")
    op.drop_table("adjustments")
    op.execute("DROP FUNCTION count_adjustments()")
    op.execute("DELETE FROM counters WHERE name = 'adjustments.waiting'")
    op.execute("DELETE FROM counter_deltas WHERE name = 'adjustments.waiting'")
    op.drop_table("profile_versions")
    op.drop_constraint(op.f("ck_dispatches_only_held_ones_stand"), "dispatches")
    op.drop_column("dispatches", "suspended_until")
    op.drop_column("dispatches", "terms")


def _acts(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let the journal know more acts, or fewer; lines that were written stay, for the journal is never changed."""
    written = op.get_bind().scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'")
    )
    known = [act for act in re.findall(r"'([a-z_]+)'", str(written)) if act not in remove]
    allowed = ", ".join(f"'{act}'" for act in [*known, *(act for act in add if act not in known)])
    op.drop_constraint(op.f("ck_journal_act_known"), "journal")
    # Going down, what was written before stays as it is: new lines alone are held to the shorter list.
    late = " NOT VALID" if remove else ""
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({allowed})){late}")
