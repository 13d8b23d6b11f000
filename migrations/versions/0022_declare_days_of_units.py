"""Let a unit keep days of its own, a city plan editions of its limits, and both be followed by open tickets."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_HERE = "AT TIME ZONE 'Asia/Shanghai'"
_SPAN = r"[0-2]\d:[0-5]\d-[0-2]\d:[0-5]\d"


def _know(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let the journal hold these acts too, or no longer, whatever else was added meanwhile."""
    written = op.get_bind().exec_driver_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'"
    )
    known = [one for one in re.findall(r"'([a-z_0-9]+)'", str(written.scalar_one())) if one not in {*add, *remove}]
    listed = ", ".join(f"'{one}'" for one in [*known, *add])
    op.execute("ALTER TABLE journal DROP CONSTRAINT ck_journal_act_known")
    # Going down, what was written stays as it is: new lines alone are held to the shorter list.
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({listed})) NOT VALID")
    if add:
        op.execute("ALTER TABLE journal VALIDATE CONSTRAINT ck_journal_act_known")


def upgrade() -> None:
    """Widen the table of days, make those of editions and recounts; a part says whether its deadline was chosen."""
    _know(add=("recount",))
    op.drop_constraint(op.f("pk_calendar_days"), "calendar_days", type_="primary")
    op.execute("ALTER TABLE calendar_days ADD COLUMN id bigserial")
    op.create_primary_key(op.f("pk_calendar_days"), "calendar_days", ["id"])
    op.add_column(
        "calendar_days",
        sa.Column("department_id", sa.BigInteger(), nullable=True, comment="null: the whole city"),
    )
    op.add_column(
        "calendar_days",
        sa.Column(
            "hours", sa.Text(), server_default="", nullable=False, comment="09:00-12:00 on a half day; else empty"
        ),
    )
    for name in ("declared_by", "ended_by"):
        op.add_column("calendar_days", sa.Column(name, sa.BigInteger(), nullable=True))
        op.create_foreign_key(op.f(f"fk_calendar_days_{name}"), "calendar_days", "users", [name], ["id"])
    op.create_foreign_key(
        op.f("fk_calendar_days_department_id"), "calendar_days", "departments", ["department_id"], ["id"]
    )
    for name in ("declared_at", "ended_at"):
        op.add_column("calendar_days", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    # When the days of before were declared is not known; the day before is the latest that it can have been.
    op.execute(f"UPDATE calendar_days SET declared_at = least(now(), (day - 1)::timestamp {_HERE})")
    op.execute(f"UPDATE calendar_days SET declared_at = (day - 800)::timestamp {_HERE} WHERE day > now()::date + 799")
    op.alter_column("calendar_days", "declared_at", nullable=False)
    op.alter_column("calendar_days", "reason", comment="the order that it rests on")
    for name, rule in (
        ("rest_has_no_hours", "hours = '' OR is_workday"),
        ("hours_form", f"hours ~ '^({_SPAN}(,{_SPAN})*)?$'"),
        (
            "declared_ahead",
            f"day > (declared_at {_HERE})::date OR (day = (declared_at {_HERE})::date AND NOT is_workday)",
        ),
        ("taken_back_ahead", f"day > (ended_at {_HERE})::date OR (day = (ended_at {_HERE})::date AND is_workday)"),
        ("not_far_ahead", f"day <= (declared_at {_HERE})::date + 800"),
    ):
        op.create_check_constraint(op.f(f"ck_calendar_days_{name}"), "calendar_days", rule)
    op.create_index(
        "uq_calendar_days_in_force",
        "calendar_days",
        ["day", sa.text("coalesce(department_id, 0)")],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    latest = [sa.text("declared_at DESC"), sa.text("id DESC")]
    op.create_index("ix_calendar_days_department_id", "calendar_days", ["department_id", *latest])
    op.create_index("ix_calendar_days_declared_at", "calendar_days", latest)

    op.create_table(
        "profile_editions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("source_text", sa.Text(), nullable=False, comment="as it was written, TOML"),
        sa.Column("body", postgresql.JSONB(), nullable=False, comment="routing.clocks.profiles.Profile.to_mapping"),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False, comment="the order that it rests on"),
        sa.Column("entered_by", sa.BigInteger(), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("basis <> ''", name=op.f("ck_profile_editions_has_basis")),
        sa.CheckConstraint(
            f"confirmed_at IS NULL OR effective_on >= (confirmed_at {_HERE})::date",
            name=op.f("ck_profile_editions_confirmed_ahead"),
        ),
        sa.CheckConstraint(
            f"confirmed_at IS NULL OR withdrawn_at IS NULL OR (withdrawn_at {_HERE})::date < effective_on",
            name=op.f("ck_profile_editions_withdrawn_ahead"),
        ),
        *(
            sa.ForeignKeyConstraint([name], ["users.id"], name=op.f(f"fk_profile_editions_{name}"))
            for name in ("entered_by", "confirmed_by", "withdrawn_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_editions")),
    )
    op.create_index(
        "uq_profile_editions_effective_on",
        "profile_editions",
        ["effective_on"],
        unique=True,
        postgresql_where=sa.text("confirmed_at IS NOT NULL AND withdrawn_at IS NULL"),
    )

    op.create_table(
        "recounts",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=True, comment="null: every unit"),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("was_workday", sa.Boolean(), nullable=True, comment="for the city or the unit, before this"),
        sa.Column("edition_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "classes",
            postgresql.JSONB(),
            server_default="[]",
            nullable=False,
            comment="[source, type, urgency, class] of what is moved to the edition",
        ),
        sa.Column(
            "words",
            sa.Text(),
            nullable=False,
            comment="what was ordered and why, as the journals of the tickets tell it",
        ),
        sa.Column("ordered_by", sa.BigInteger(), nullable=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False, comment="how many tickets the page promised to move"),
        sa.Column("moved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "after_ticket_id", sa.BigInteger(), server_default="0", nullable=False, comment="done up to this ticket"
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('calendar', 'edition')", name=op.f("ck_recounts_kind_known")),
        sa.CheckConstraint("(kind = 'calendar') = (day IS NOT NULL)", name=op.f("ck_recounts_calendar_has_day")),
        sa.CheckConstraint(
            "(kind = 'calendar') = (was_workday IS NOT NULL)", name=op.f("ck_recounts_calendar_has_before")
        ),
        sa.CheckConstraint("(kind = 'edition') = (edition_id IS NOT NULL)", name=op.f("ck_recounts_edition_is_named")),
        sa.CheckConstraint("words <> ''", name=op.f("ck_recounts_has_words")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_recounts_department_id")),
        sa.ForeignKeyConstraint(["edition_id"], ["profile_editions.id"], name=op.f("fk_recounts_edition_id")),
        sa.ForeignKeyConstraint(["ordered_by"], ["users.id"], name=op.f("fk_recounts_ordered_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recounts")),
    )
    op.create_index("ix_recounts_ordered_at", "recounts", [sa.text("ordered_at DESC"), sa.text("id DESC")])

    # How the deadlines of the open parts came to be is not known: they are left as they are.
    op.add_column(
        "subtasks",
        sa.Column(
            "due_chosen",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="by a person; otherwise it was counted",
        ),
    )
    op.alter_column("subtasks", "due_chosen", server_default="false")


def downgrade() -> None:
    """Take all of it away; the days of units are lost, those of the city that are in force stay."""
    _know(remove=("recount",))
    op.drop_column("subtasks", "due_chosen")
    op.drop_table("recounts")
    op.drop_table("profile_editions")
    op.execute("DELETE FROM calendar_days WHERE department_id IS NOT NULL OR ended_at IS NOT NULL")
    op.drop_constraint(op.f("pk_calendar_days"), "calendar_days", type_="primary")
    for name in ("id", "department_id", "hours", "declared_by", "declared_at", "ended_by", "ended_at"):
        op.drop_column("calendar_days", name)
    op.alter_column("calendar_days", "reason", comment=None)
    op.create_primary_key(op.f("pk_calendar_days"), "calendar_days", ["day"])
