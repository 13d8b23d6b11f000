"""Let tickets of one matter be answered together, and gather the callers of an incident."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ACTS = ("recall", "merge", "unmerge")

# What is answered with another ticket is in nobody's hands until that one is answered.
NOT_DISPATCHED = """
CREATE FUNCTION merged_is_not_dispatched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM merges WHERE ticket_id = NEW.ticket_id AND answered_at IS NULL) THEN
        RAISE EXCEPTION 'a ticket that is answered with another one is not dispatched'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'merged_is_not_dispatched';
    END IF;
    RETURN NEW;
END $$
"""
NOT_DISPATCHED_TRIGGER = """
CREATE TRIGGER merged_is_not_dispatched BEFORE INSERT ON dispatches
FOR EACH ROW EXECUTE FUNCTION merged_is_not_dispatched()
"""

COUNT_MERGES = """
CREATE FUNCTION count_merges() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    net bigint := 0;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        net := net + (SELECT count(*) FROM new_rows WHERE answered_at IS NULL);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        net := net - (SELECT count(*) FROM old_rows WHERE answered_at IS NULL);
    END IF;
    IF net <> 0 THEN
        INSERT INTO counter_deltas (name, delta) VALUES ('tickets.merged', net);
    END IF;
    RETURN NULL;
END $$
"""
_EVENTS = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}


def _know_acts(acts: list[str]) -> None:
    """Let the journal hold exactly these acts."""
    listed = ", ".join(f"'{act}'" for act in acts)
    op.execute("ALTER TABLE journal DROP CONSTRAINT ck_journal_act_known")
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({listed})) NOT VALID")
    op.execute("ALTER TABLE journal VALIDATE CONSTRAINT ck_journal_act_known")


def _known_acts() -> list[str]:
    """Return the acts that the journal may hold now, whichever migrations added some."""
    definition = (
        op.get_bind()
        .exec_driver_sql("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'")
        .scalar_one()
    )
    return re.findall(r"'([a-z_]+)'", definition)


def upgrade() -> None:
    """Make the tables of relations; two of their rules only a trigger can hold."""
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False, comment="what operators tell callers"),
        sa.Column("main_id", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 100", name=op.f("ck_incidents_title_length")),
        sa.CheckConstraint("char_length(words) BETWEEN 1 AND 500", name=op.f("ck_incidents_words_length")),
        sa.CheckConstraint(
            "closed_at IS NULL OR closed_at >= opened_at", name=op.f("ck_incidents_closed_after_opened")
        ),
        sa.ForeignKeyConstraint(["closed_by"], ["users.id"], name=op.f("fk_incidents_closed_by")),
        sa.ForeignKeyConstraint(["main_id"], ["tickets.id"], name=op.f("fk_incidents_main_id")),
        sa.ForeignKeyConstraint(["opened_by"], ["users.id"], name=op.f("fk_incidents_opened_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        sa.UniqueConstraint("main_id", name=op.f("uq_incidents_main_id")),
    )
    op.create_index(
        "ix_incidents_open", "incidents", ["id"], unique=False, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_table(
        "merge_places",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.CheckConstraint("place IN ('main', 'member')", name=op.f("ck_merge_places_place_known")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_merge_places_ticket_id")),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_merge_places")),
        sa.UniqueConstraint("ticket_id", "place", name=op.f("uq_merge_places_ticket_id_place")),
    )
    op.create_table(
        "announcements",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("callers", sa.BigInteger(), nullable=False, comment="how many text messages were written"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_by", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_announcements_incident_id")),
        sa.ForeignKeyConstraint(["sent_by"], ["users.id"], name=op.f("fk_announcements_sent_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
    )
    op.create_index("ix_announcements_incident_id", "announcements", ["incident_id", "id"], unique=False)
    op.create_table(
        "merges",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("member_place", sa.Text(), server_default="member", nullable=False),
        sa.Column("main_id", sa.BigInteger(), nullable=False),
        sa.Column("main_place", sa.Text(), server_default="main", nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merged_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "answered_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="got the main ticket's answer; its own life goes on",
        ),
        sa.CheckConstraint("main_place = 'main'", name=op.f("ck_merges_main_is_main")),
        sa.CheckConstraint("member_place = 'member'", name=op.f("ck_merges_member_is_member")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_merges_incident_id")),
        sa.ForeignKeyConstraint(
            ["main_id", "main_place"],
            ["merge_places.ticket_id", "merge_places.place"],
            name=op.f("fk_merges_main_id_main_place"),
        ),
        sa.ForeignKeyConstraint(["merged_by"], ["users.id"], name=op.f("fk_merges_merged_by")),
        sa.ForeignKeyConstraint(
            ["ticket_id", "member_place"],
            ["merge_places.ticket_id", "merge_places.place"],
            name=op.f("fk_merges_ticket_id_member_place"),
        ),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_merges")),
    )
    op.create_index("ix_merges_main_id", "merges", ["main_id", "ticket_id"], unique=False)
    op.execute(NOT_DISPATCHED)
    op.execute(NOT_DISPATCHED_TRIGGER)
    op.execute(COUNT_MERGES)
    for event, rows in _EVENTS.items():
        op.execute(
            f"CREATE TRIGGER count_merges_{event.lower()} AFTER {event} ON merges "
            f"REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION count_merges()"
        )
    _know_acts([*_known_acts(), *_ACTS])


def downgrade() -> None:
    """Take relations away; refused by the database once the journal tells of them, because the journal is kept."""
    _know_acts([act for act in _known_acts() if act not in _ACTS])
    op.execute("DELETE FROM counter_deltas WHERE name = 'tickets.merged'")
    op.execute("DELETE FROM counters WHERE name = 'tickets.merged'")
    for event in _EVENTS:
        op.execute(f"DROP TRIGGER count_merges_{event.lower()} ON merges")
    op.execute("DROP FUNCTION count_merges()")
    op.execute("DROP TRIGGER merged_is_not_dispatched ON dispatches")
    op.execute("DROP FUNCTION merged_is_not_dispatched()")
    op.drop_index("ix_merges_main_id", table_name="merges")
    op.drop_table("merges")
    op.drop_index("ix_announcements_incident_id", table_name="announcements")
    op.drop_table("announcements")
    op.drop_table("merge_places")
    op.drop_index("ix_incidents_open", table_name="incidents", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_table("incidents")
