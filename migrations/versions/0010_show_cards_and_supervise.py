"""Show cards, raise alarms, urge and supervise."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ACTS = ("card", "urge", "supervise", "account", "settle")
#: Whoever did these handled the ticket and does not call its citizen back (domain.md 3.2).
_HANDLING = ("supervise", "account", "settle")

# When a dispatch turns yellow and red is told by the steps that were granted with its deadline. A deadline without
# steps (an old import) turns yellow a day before and red when it has passed.
CARDS_FROM = """
CREATE FUNCTION dispatch_cards_from() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    handle jsonb := NEW.steps -> 'handle';
BEGIN
    NEW.yellow_from := NEW.due_at - interval '1 day';
    NEW.red_from := NEW.due_at;
    IF (handle ->> 'due')::timestamptz = NEW.due_at THEN
        NEW.yellow_from := coalesce((handle ->> 'yellow_from')::timestamptz, NEW.yellow_from);
        NEW.red_from := coalesce((handle ->> 'red_from')::timestamptz, NEW.red_from);
    END IF;
    RETURN NEW;
END $$
"""
CARDS_FROM_TRIGGER = """
CREATE TRIGGER dispatch_cards_from BEFORE INSERT OR UPDATE OF due_at, steps ON dispatches
FOR EACH ROW EXECUTE FUNCTION dispatch_cards_from()
"""
# What is in hand now gets both moments from the same trigger; what is answered or ended shows no card.
FILL = """
UPDATE dispatches SET due_at = due_at WHERE is_current AND answered_at IS NULL AND ended_at IS NULL
"""

COUNT_ALARMS = """
CREATE FUNCTION count_alarms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counter_deltas (name, delta)
        SELECT coalesce('department.' || to_department_id || '.alarms', 'alarms.centre'), count(*)
        FROM new_rows WHERE heeded_at IS NULL GROUP BY to_department_id;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO counter_deltas (name, delta) SELECT name, sum(delta) FROM (
            SELECT coalesce('department.' || to_department_id || '.alarms', 'alarms.centre') AS name, 1 AS delta
            FROM new_rows WHERE heeded_at IS NULL
            UNION ALL SELECT coalesce('department.' || to_department_id || '.alarms', 'alarms.centre'), -1
            FROM old_rows WHERE heeded_at IS NULL
        ) AS changed GROUP BY name HAVING sum(delta) <> 0;
    ELSE
        INSERT INTO counter_deltas (name, delta)
        SELECT coalesce('department.' || to_department_id || '.alarms', 'alarms.centre'), -count(*)
        FROM old_rows WHERE heeded_at IS NULL GROUP BY to_department_id;
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


def _handle_by(acts: list[str]) -> None:
    """Let exactly these acts keep a person from a ticket's callback."""
    bind = op.get_bind()
    definition = str(bind.exec_driver_sql("SELECT pg_get_functiondef('callback_is_independent'::regproc)").scalar_one())
    listed = ", ".join(f"'{act}'" for act in acts)
    bind.exec_driver_sql(re.sub(r"act IN\s*\([^)]*\)", f"act IN ({listed})", definition, count=1))


def _handling_acts() -> list[str]:
    body = str(
        op.get_bind()
        .exec_driver_sql("SELECT prosrc FROM pg_proc WHERE proname = 'callback_is_independent'")
        .scalar_one()
    )
    return re.findall(r"'([a-z_]+)'", body.split("act IN")[1].partition(")")[0])


def upgrade() -> None:
    """Make the tables of supervision, and let the database keep both moments of every card."""
    op.create_table(
        "leaders",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=True, comment="nothing means the hotline centre"),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("post", sa.Text(), server_default="", nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.CheckConstraint("name <> '' AND phone <> ''", name=op.f("ck_leaders_can_be_told")),
        sa.CheckConstraint("level BETWEEN 1 AND 5", name=op.f("ck_leaders_level_range")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_leaders_department_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaders")),
        sa.UniqueConstraint(
            "department_id",
            "level",
            "phone",
            name=op.f("uq_leaders_department_id_level_phone"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "supervision_notices",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True, comment="set when the ladder or a trigger sent it"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), server_default="system", nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("previous_id", sa.BigInteger(), nullable=True, comment="the one whose answer was not accepted"),
        sa.Column("words", sa.Text(), nullable=False, comment="why, and what is demanded"),
        sa.Column("times", sa.BigInteger(), server_default="1", nullable=False, comment="how often it was urged"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_by", sa.BigInteger(), nullable=True),
        sa.Column("receive_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_by", sa.BigInteger(), nullable=True),
        sa.Column("account", sa.Text(), server_default="", nullable=False, comment="what the unit answers"),
        sa.Column("accounted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accounted_by", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.BigInteger(), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("ending_words", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "(accounted_at IS NULL) = (account = '')", name=op.f("ck_supervision_notices_accounted_with_words")
        ),
        sa.CheckConstraint(
            "ending IN ('accepted', 'refused', 'lifted')", name=op.f("ck_supervision_notices_ending_known")
        ),
        sa.CheckConstraint(
            "ending IS NULL OR ending = 'lifted' OR accounted_at IS NOT NULL",
            name=op.f("ck_supervision_notices_judged_after_accounted"),
        ),
        sa.CheckConstraint(
            "form IN ('system', 'written', 'special', 'command')", name=op.f("ck_supervision_notices_form_known")
        ),
        sa.CheckConstraint("kind IN ('urge', 'supervise')", name=op.f("ck_supervision_notices_kind_known")),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_supervision_notices_ended_has_ending")
        ),
        sa.CheckConstraint(
            "accounted_at IS NULL OR received_at IS NOT NULL",
            name=op.f("ck_supervision_notices_received_before_accounted"),
        ),
        sa.CheckConstraint("char_length(words) BETWEEN 1 AND 2000", name=op.f("ck_supervision_notices_words_length")),
        sa.CheckConstraint(
            "due_at > sent_at AND receive_due_at > sent_at", name=op.f("ck_supervision_notices_due_after_sent")
        ),
        sa.CheckConstraint("times >= 1", name=op.f("ck_supervision_notices_times_positive")),
        sa.ForeignKeyConstraint(["accounted_by"], ["users.id"], name=op.f("fk_supervision_notices_accounted_by")),
        sa.ForeignKeyConstraint(
            ["department_id"], ["departments.id"], name=op.f("fk_supervision_notices_department_id")
        ),
        sa.ForeignKeyConstraint(["ended_by"], ["users.id"], name=op.f("fk_supervision_notices_ended_by")),
        sa.ForeignKeyConstraint(
            ["previous_id"], ["supervision_notices.id"], name=op.f("fk_supervision_notices_previous_id")
        ),
        sa.ForeignKeyConstraint(["received_by"], ["users.id"], name=op.f("fk_supervision_notices_received_by")),
        sa.ForeignKeyConstraint(["sent_by"], ["users.id"], name=op.f("fk_supervision_notices_sent_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_supervision_notices_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supervision_notices")),
        sa.UniqueConstraint("key", name=op.f("uq_supervision_notices_key")),
        sa.UniqueConstraint("previous_id", name=op.f("uq_supervision_notices_previous_id")),
    )
    op.create_index(
        "ix_supervision_notices_department_id", "supervision_notices", ["department_id", "id"], unique=False
    )
    op.create_index(
        "ix_supervision_notices_desk",
        "supervision_notices",
        ["department_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_supervision_notices_open",
        "supervision_notices",
        ["due_at", "id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_supervision_notices_ticket_id", "supervision_notices", ["ticket_id", "id"], unique=False)
    op.create_index(
        "uq_supervision_notices_open",
        "supervision_notices",
        ["ticket_id", "department_id", "kind"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "alarms",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="one alarm per cause, however often it is found"),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False, comment="the rung of the ladder, or the rule"),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=True),
        sa.Column("department_id", sa.BigInteger(), nullable=True, comment="the unit it speaks of"),
        sa.Column(
            "to_department_id",
            sa.BigInteger(),
            nullable=True,
            comment="whose members are told; nothing means the centre",
        ),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "text_level",
            sa.BigInteger(),
            nullable=True,
            comment="whom a text message goes to: 0 duty contact, 1.. leaders",
        ),
        sa.Column(
            "at_once",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="urgent: texted at any hour, not only in working time",
        ),
        sa.Column(
            "told_at", sa.DateTime(timezone=True), nullable=True, comment="a text was written, or nobody has a number"
        ),
        sa.Column("heeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heeded_by", sa.BigInteger(), nullable=True),
        sa.Column("heeded_word", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("(heeded_at IS NULL) = (heeded_word = '')", name=op.f("ck_alarms_heeded_with_a_word")),
        sa.CheckConstraint(
            "trigger IN ('yellow_card', 'red_card', 'sign_overdue', 'not_contacted', 'callback_unhappy', 'redo_unhappy', 'repeated', 'ping_pong', 'undispatched', 'notice_sent', 'notice_not_received', 'notice_late', 'notice_accounted')",
            name=op.f("ck_alarms_trigger_known"),
        ),
        sa.CheckConstraint("(heeded_at IS NULL) = (heeded_by IS NULL)", name=op.f("ck_alarms_heeded_by_somebody")),
        sa.CheckConstraint("text_level BETWEEN 0 AND 5", name=op.f("ck_alarms_text_level_range")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_alarms_department_id")),
        sa.ForeignKeyConstraint(["heeded_by"], ["users.id"], name=op.f("fk_alarms_heeded_by")),
        sa.ForeignKeyConstraint(["notice_id"], ["supervision_notices.id"], name=op.f("fk_alarms_notice_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_alarms_ticket_id")),
        sa.ForeignKeyConstraint(["to_department_id"], ["departments.id"], name=op.f("fk_alarms_to_department_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
        sa.UniqueConstraint("key", name=op.f("uq_alarms_key")),
    )
    op.create_index("ix_alarms_ticket_id", "alarms", ["ticket_id", "id"], unique=False)
    op.create_index("ix_alarms_to_department_id", "alarms", ["to_department_id", "id"], unique=False)
    op.create_index(
        "ix_alarms_untold",
        "alarms",
        ["id"],
        unique=False,
        postgresql_where=sa.text("told_at IS NULL AND text_level IS NOT NULL"),
    )
    op.create_index(
        "ix_alarms_waiting",
        "alarms",
        ["to_department_id", "id"],
        unique=False,
        postgresql_where=sa.text("heeded_at IS NULL"),
    )
    op.create_table(
        "cards",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("colour", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, comment="the deadline that it stands for"),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "settled_at", sa.DateTime(timezone=True), nullable=True, comment="answered, ended, or followed by red"
        ),
        sa.Column(
            "lifted",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="the deadline was moved afterwards; does not count",
        ),
        sa.CheckConstraint("colour IN ('yellow', 'red')", name=op.f("ck_cards_colour_known")),
        sa.CheckConstraint("NOT lifted OR settled_at IS NOT NULL", name=op.f("ck_cards_lifted_is_settled")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_cards_department_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_cards_dispatch_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_cards_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cards")),
        sa.UniqueConstraint("dispatch_id", "colour", "due_at", name=op.f("uq_cards_dispatch_id_colour_due_at")),
    )
    op.create_index(
        "ix_cards_in_force",
        "cards",
        ["department_id", "colour", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("ix_cards_shown_at", "cards", ["shown_at", "department_id"], unique=False)
    op.create_index("ix_cards_ticket_id", "cards", ["ticket_id", "id"], unique=False)
    op.add_column(
        "dispatches",
        sa.Column(
            "yellow_from",
            sa.DateTime(timezone=True),
            server_default=sa.FetchedValue(),
            nullable=True,
            comment="kept by a trigger",
        ),
    )
    op.add_column(
        "dispatches",
        sa.Column(
            "red_from",
            sa.DateTime(timezone=True),
            server_default=sa.FetchedValue(),
            nullable=True,
            comment="kept by a trigger",
        ),
    )
    op.create_index(
        "ix_dispatches_sent_back",
        "dispatches",
        ["ticket_id"],
        unique=False,
        postgresql_where=sa.text("ending = 'sent_back'"),
    )
    op.create_index(
        "ix_dispatches_yellow_from",
        "dispatches",
        ["yellow_from"],
        unique=False,
        postgresql_where=sa.text("is_current AND answered_at IS NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "ix_tickets_repeated",
        "tickets",
        ["id"],
        unique=False,
        postgresql_where=sa.text("repeats > 0 AND state <> 'closed'"),
    )
    op.execute(CARDS_FROM)
    op.execute(CARDS_FROM_TRIGGER)
    op.execute(FILL)
    op.execute(COUNT_ALARMS)
    for event, rows in _EVENTS.items():
        op.execute(
            f"CREATE TRIGGER count_alarms_{event.lower()} AFTER {event} ON alarms "
            f"REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION count_alarms()"
        )
    _know_acts([*_known_acts(), *_ACTS])
    _handle_by([*_handling_acts(), *_HANDLING])


def downgrade() -> None:
    """Take supervision away; refused by the database once the journal tells of it, because the journal is kept."""
    _know_acts([act for act in _known_acts() if act not in _ACTS])
    _handle_by([act for act in _handling_acts() if act not in _HANDLING])
    op.execute("DELETE FROM counter_deltas WHERE name = 'alarms.centre' OR name LIKE 'department.%.alarms'")
    op.execute("DELETE FROM counters WHERE name = 'alarms.centre' OR name LIKE 'department.%.alarms'")
    for event in _EVENTS:
        op.execute(f"DROP TRIGGER count_alarms_{event.lower()} ON alarms")
    op.execute("DROP FUNCTION count_alarms()")
    op.execute("DROP TRIGGER dispatch_cards_from ON dispatches")
    op.execute("DROP FUNCTION dispatch_cards_from()")
    op.drop_index(
        "ix_tickets_repeated", table_name="tickets", postgresql_where=sa.text("repeats > 0 AND state <> 'closed'")
    )
    op.drop_index(
        "ix_dispatches_yellow_from",
        table_name="dispatches",
        postgresql_where=sa.text("is_current AND answered_at IS NULL AND ended_at IS NULL"),
    )
    op.drop_index("ix_dispatches_sent_back", table_name="dispatches", postgresql_where=sa.text("ending = 'sent_back'"))
    op.drop_column("dispatches", "red_from")
    op.drop_column("dispatches", "yellow_from")
    op.drop_index("ix_cards_ticket_id", table_name="cards")
    op.drop_index("ix_cards_shown_at", table_name="cards")
    op.drop_index("ix_cards_in_force", table_name="cards", postgresql_where=sa.text("settled_at IS NULL"))
    op.drop_table("cards")
    op.drop_index("ix_alarms_waiting", table_name="alarms", postgresql_where=sa.text("heeded_at IS NULL"))
    op.drop_index(
        "ix_alarms_untold", table_name="alarms", postgresql_where=sa.text("told_at IS NULL AND text_level IS NOT NULL")
    )
    op.drop_index("ix_alarms_to_department_id", table_name="alarms")
    op.drop_index("ix_alarms_ticket_id", table_name="alarms")
    op.drop_table("alarms")
    op.drop_index(
        "uq_supervision_notices_open", table_name="supervision_notices", postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_index("ix_supervision_notices_ticket_id", table_name="supervision_notices")
    op.drop_index(
        "ix_supervision_notices_open", table_name="supervision_notices", postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_index(
        "ix_supervision_notices_desk", table_name="supervision_notices", postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_index("ix_supervision_notices_department_id", table_name="supervision_notices")
    op.drop_table("supervision_notices")
    op.drop_table("leaders")
