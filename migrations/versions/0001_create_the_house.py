"""Create the house."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


SEQUENCE = """
CREATE SEQUENCE ticket_numbers AS bigint
"""

# At least seven digits and never cut: lpad alone would cut the ten-millionth number, and two tickets would share one.
# The day is for people; what makes a number its own is the sequence, which two transactions never share.
NUMBER = """
CREATE FUNCTION ticket_number(at timestamptz) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT to_char(at AT TIME ZONE 'Asia/Shanghai', 'YYYYMMDD') || lpad(n, greatest(7, length(n)), '0')
    FROM (SELECT nextval('ticket_numbers')::text AS n) AS next
$$
"""

JOURNAL_KEPT = """
CREATE FUNCTION journal_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is never changed and never deleted'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'journal_is_kept';
END $$
"""

JOURNAL_TRIGGER = """
CREATE TRIGGER journal_is_kept BEFORE UPDATE OR DELETE ON journal
FOR EACH ROW EXECUTE FUNCTION journal_is_kept()
"""

# Rule: domain.md 3.2. The action says it in words; here the database holds it against every other way in.
INDEPENDENT = """
CREATE FUNCTION callback_is_independent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.done_by IS NOT NULL AND (
        EXISTS (
            SELECT 1 FROM journal WHERE ticket_id = NEW.ticket_id AND by_id = NEW.done_by AND act IN
            ('sign', 'send_back', 'answer', 'contact', 'rectify', 'dispatch', 'answer_directly')
        ) OR EXISTS (
            SELECT 1 FROM memberships m JOIN dispatches d ON d.department_id = m.department_id
            WHERE m.user_id = NEW.done_by AND d.ticket_id = NEW.ticket_id
        )
    ) THEN
        RAISE EXCEPTION 'whoever handled a ticket cannot record its callback'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'callback_is_independent';
    END IF;
    RETURN NEW;
END $$
"""

INDEPENDENT_TRIGGER = """
CREATE TRIGGER callback_is_independent BEFORE INSERT OR UPDATE OF done_by ON callbacks
FOR EACH ROW EXECUTE FUNCTION callback_is_independent()
"""

# Stored counters. Each statement writes its net change once, however many rows it touched; nothing locks a shared
# row, so concurrent writers never wait for each other. The scheduler folds the changes (tickets.actions.fold_counters).
COUNT_TICKETS = """
CREATE FUNCTION count_tickets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counter_deltas (name, delta) SELECT name, count(*) FROM (
            SELECT 'tickets.state.' || state AS name FROM new_rows
            UNION ALL SELECT 'tickets.all' FROM new_rows
            UNION ALL SELECT 'tickets.bad_review.open' FROM new_rows WHERE kind = 'bad_review' AND state <> 'closed'
        ) AS added GROUP BY name;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO counter_deltas (name, delta) SELECT name, sum(delta) FROM (
            SELECT 'tickets.state.' || state AS name, 1 AS delta FROM new_rows
            UNION ALL SELECT 'tickets.state.' || state, -1 FROM old_rows
            UNION ALL SELECT 'tickets.bad_review.open', 1 FROM new_rows WHERE kind = 'bad_review' AND state <> 'closed'
            UNION ALL SELECT 'tickets.bad_review.open', -1 FROM old_rows WHERE kind = 'bad_review' AND state <> 'closed'
        ) AS changed GROUP BY name HAVING sum(delta) <> 0;
    ELSE
        INSERT INTO counter_deltas (name, delta) SELECT name, -count(*) FROM (
            SELECT 'tickets.state.' || state AS name FROM old_rows
            UNION ALL SELECT 'tickets.all' FROM old_rows
            UNION ALL SELECT 'tickets.bad_review.open' FROM old_rows WHERE kind = 'bad_review' AND state <> 'closed'
        ) AS gone GROUP BY name;
    END IF;
    RETURN NULL;
END $$
"""

COUNT_DISPATCHES = """
CREATE FUNCTION count_dispatches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counter_deltas (name, delta) SELECT name, count(*) FROM (
            SELECT 'department.' || department_id || '.in_hand' AS name FROM new_rows
            WHERE is_current AND answered_at IS NULL AND ended_at IS NULL
            UNION ALL SELECT 'department.' || department_id || '.unsigned' FROM new_rows
            WHERE is_current AND signed_at IS NULL AND ended_at IS NULL
        ) AS added GROUP BY name;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO counter_deltas (name, delta) SELECT name, sum(delta) FROM (
            SELECT 'department.' || department_id || '.in_hand' AS name, 1 AS delta FROM new_rows
            WHERE is_current AND answered_at IS NULL AND ended_at IS NULL
            UNION ALL SELECT 'department.' || department_id || '.in_hand', -1 FROM old_rows
            WHERE is_current AND answered_at IS NULL AND ended_at IS NULL
            UNION ALL SELECT 'department.' || department_id || '.unsigned', 1 FROM new_rows
            WHERE is_current AND signed_at IS NULL AND ended_at IS NULL
            UNION ALL SELECT 'department.' || department_id || '.unsigned', -1 FROM old_rows
            WHERE is_current AND signed_at IS NULL AND ended_at IS NULL
        ) AS changed GROUP BY name HAVING sum(delta) <> 0;
    ELSE
        INSERT INTO counter_deltas (name, delta) SELECT name, -count(*) FROM (
            SELECT 'department.' || department_id || '.in_hand' AS name FROM old_rows
            WHERE is_current AND answered_at IS NULL AND ended_at IS NULL
            UNION ALL SELECT 'department.' || department_id || '.unsigned' FROM old_rows
            WHERE is_current AND signed_at IS NULL AND ended_at IS NULL
        ) AS gone GROUP BY name;
    END IF;
    RETURN NULL;
END $$
"""

COUNT_CALLBACKS = """
CREATE FUNCTION count_callbacks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counter_deltas (name, delta)
        SELECT CASE WHEN done_at IS NULL THEN 'callbacks.waiting' ELSE 'callbacks.done' END AS name, count(*)
        FROM new_rows GROUP BY 1;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO counter_deltas (name, delta) SELECT name, sum(delta) FROM (
            SELECT CASE WHEN done_at IS NULL THEN 'callbacks.waiting' ELSE 'callbacks.done' END AS name, 1 AS delta
            FROM new_rows
            UNION ALL
            SELECT CASE WHEN done_at IS NULL THEN 'callbacks.waiting' ELSE 'callbacks.done' END, -1 FROM old_rows
        ) AS changed GROUP BY name HAVING sum(delta) <> 0;
    ELSE
        INSERT INTO counter_deltas (name, delta)
        SELECT CASE WHEN done_at IS NULL THEN 'callbacks.waiting' ELSE 'callbacks.done' END AS name, -count(*)
        FROM old_rows GROUP BY 1;
    END IF;
    RETURN NULL;
END $$
"""

COUNTED = ("tickets", "dispatches", "callbacks")

# A rare word must not be planned as if it were a frequent one: with the default sample the newest twenty tickets with
# a rare word cost 126 ms, with this one 1.4 ms (a million tickets; bench/).
SEARCH_STATISTICS = "ALTER TABLE ticket_search ALTER COLUMN words SET STATISTICS 2000"

# Small tables that change all day: cleaned early, so that reading them stays cheap.
BUSY_TABLES = """
ALTER TABLE counter_deltas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000)
"""


def upgrade() -> None:
    """Create every table, the counters' triggers and the two rules that only a trigger can hold."""
    op.create_table(
        "calendar_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("is_workday", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_calendar_days")),
    )
    op.create_table(
        "categories",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="names from the root, joined by ' / '"),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.Text(), server_default="", nullable=False),
        sa.Column("lead", sa.Text(), server_default="", nullable=False, comment="code of the usual lead department"),
        sa.Column("assist", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("urgency", sa.Text(), server_default="一般", nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.CheckConstraint("urgency IN ('特急', '紧急', '一般')", name=op.f("ck_categories_urgency_known")),
        sa.CheckConstraint("(level = 1) = (parent_id IS NULL)", name=op.f("ck_categories_root_has_no_parent")),
        sa.CheckConstraint("level BETWEEN 1 AND 5", name=op.f("ck_categories_five_levels")),
        sa.CheckConstraint("parent_id IS NULL OR parent_id <> id", name=op.f("ck_categories_not_its_own_parent")),
        sa.ForeignKeyConstraint(["parent_id"], ["categories.id"], name=op.f("fk_categories_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_categories")),
        sa.UniqueConstraint("code", name=op.f("uq_categories_code")),
    )
    op.create_table(
        "counter_deltas",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("delta", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counter_deltas")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "departments",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("region_code", sa.Text(), server_default="", nullable=False, comment="for territorial units"),
        sa.Column("duty_phone", sa.Text(), server_default="", nullable=False),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "kind IN ('hotline', 'bureau', 'district', 'street', 'handler', 'company')",
            name=op.f("ck_departments_kind_known"),
        ),
        sa.CheckConstraint("parent_id IS NULL OR parent_id <> id", name=op.f("ck_departments_not_its_own_parent")),
        sa.ForeignKeyConstraint(["parent_id"], ["departments.id"], name=op.f("fk_departments_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_departments")),
        sa.UniqueConstraint("code", name=op.f("uq_departments_code")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("relayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_undelivered", "outbox", ["id"], unique=False, postgresql_where=sa.text("delivered_at IS NULL")
    )
    op.create_table(
        "regions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("level BETWEEN 1 AND 4", name=op.f("ck_regions_four_levels")),
        sa.ForeignKeyConstraint(["parent_id"], ["regions.id"], name=op.f("fk_regions_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regions")),
        sa.UniqueConstraint("code", name=op.f("uq_regions_code")),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="fingerprint of login or address"),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_failures")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id"),
        sa.Column("must_change_password", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint("login ~ '^[a-z0-9][a-z0-9._-]{1,39}$'", name=op.f("ck_users_login_form")),
        sa.CheckConstraint(
            "role IN ('operator', 'dispatcher', 'responder', 'auditor', 'supervisor', 'administrator', 'device', 'public', 'system')",
            name=op.f("ck_users_role_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(role = 'device') = (user_id IS NULL)", name=op.f("ck_api_tokens_speaks_for_one")),
        sa.CheckConstraint(
            "role IN ('operator', 'dispatcher', 'responder', 'auditor', 'supervisor', 'administrator', 'device', 'public', 'system')",
            name=op.f("ck_api_tokens_role_known"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_table(
        "installation_settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_by", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["changed_by"], ["users.id"], name=op.f("fk_installation_settings_changed_by")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation_settings")),
    )
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_memberships_department_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memberships_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "department_id", name=op.f("pk_memberships")),
    )
    op.create_index("ix_memberships_department_id", "memberships", ["department_id"], unique=False)
    op.create_table(
        "reactions_done",
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("reaction", sa.Text(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["outbox_id"], ["outbox.id"], name=op.f("fk_reactions_done_outbox_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("outbox_id", "reaction", name=op.f("pk_reactions_done")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sign_ins_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sign_ins_token_hash")),
    )
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"], unique=False)
    op.create_table(
        "text_messages",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="one effect per key, however often it is asked for"),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="to and body"),
        sa.Column("to_masked", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("carrier_id", sa.Text(), server_default="", nullable=False, comment="the carrier's own name for it"),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'sent', 'failed')", name=op.f("ck_text_messages_state_known")
        ),
        sa.ForeignKeyConstraint(["asked_by"], ["users.id"], name=op.f("fk_text_messages_asked_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_messages")),
        sa.UniqueConstraint("key", name=op.f("uq_text_messages_key")),
    )
    op.create_index(
        "ix_text_messages_waiting",
        "text_messages",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'sending')"),
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False, cache=1), nullable=False),
        sa.Column("number", sa.Text(), nullable=False, comment="工单编号: local day and a running number"),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("request_type", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("category_id", sa.BigInteger(), nullable=True),
        sa.Column("region_id", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False, comment="redacted"),
        sa.Column("content", sa.Text(), nullable=False, comment="redacted; the original is sealed"),
        sa.Column("place", sa.Text(), server_default="", nullable=False, comment="where the matter is, redacted"),
        sa.Column("company", sa.Text(), server_default="", nullable=False, comment="the unit that is spoken of"),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name_masked", sa.Text(), server_default="", nullable=False),
        sa.Column("phone_masked", sa.Text(), server_default="", nullable=False),
        sa.Column("address_masked", sa.Text(), server_default="", nullable=False),
        sa.Column("personal_sealed", sa.LargeBinary(), nullable=False, comment="core.sealing.Personal"),
        sa.Column("phone_index", sa.LargeBinary(), nullable=True, comment="keyed fingerprint of the phone"),
        sa.Column("anonymous", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("confidential", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("wants_callback", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("query_code_index", sa.LargeBinary(), nullable=False, comment="keyed fingerprint of the query code"),
        sa.Column("refusal_reason", sa.Text(), nullable=True, comment="NR-01 ... NR-10 (domain.md 1.5)"),
        sa.Column("transfer_to", sa.Text(), nullable=True, comment="110, 119, 120 or another hotline"),
        sa.Column("transfer_number", sa.Text(), nullable=True, comment="the number on the other side (domain.md 2.13)"),
        sa.Column("closing_words", sa.Text(), server_default="", nullable=False, comment="what the citizen is told"),
        sa.Column("repeats_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "repeats", sa.BigInteger(), server_default="0", nullable=False, comment="how often it was reported again"
        ),
        sa.Column("rework_rounds", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "flags",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="risk flags, model_down ...",
        ),
        sa.Column("source_system", sa.Text(), nullable=True, comment="an external feed or an import"),
        sa.Column("source_key", sa.Text(), nullable=True, comment="the record's key there"),
        sa.Column("registered_by", sa.BigInteger(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True, comment="first time"),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True, comment="last time"),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "due_at", sa.DateTime(timezone=True), nullable=True, comment="when the department that holds it must answer"
        ),
        sa.CheckConstraint(
            "(outcome IS NOT DISTINCT FROM 'refused') = (refusal_reason IS NOT NULL)",
            name=op.f("ck_tickets_refused_has_reason"),
        ),
        sa.CheckConstraint(
            "(outcome IS NOT DISTINCT FROM 'transferred') = (transfer_to IS NOT NULL)",
            name=op.f("ck_tickets_transferred_has_target"),
        ),
        sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name=op.f("ck_tickets_closed_has_time")),
        sa.CheckConstraint("(state = 'closed') = (outcome IS NOT NULL)", name=op.f("ck_tickets_closed_has_outcome")),
        sa.CheckConstraint(
            "(state IN ('dispatched', 'signed')) = (due_at IS NOT NULL)", name=op.f("ck_tickets_held_has_deadline")
        ),
        sa.CheckConstraint(
            "channel IN ('phone', 'web', 'wechat', 'app', 'sms', 'email', 'province', 'mayor_mailbox', '110', 'review', 'import')",
            name=op.f("ck_tickets_channel_known"),
        ),
        sa.CheckConstraint("kind IN ('concern', 'bad_review')", name=op.f("ck_tickets_kind_known")),
        sa.CheckConstraint(
            "outcome IN ('answered_directly', 'refused', 'transferred', 'withdrawn', 'confirmed', 'unreachable', 'declined')",
            name=op.f("ck_tickets_outcome_known"),
        ),
        sa.CheckConstraint(
            "request_type IN ('咨询', '求助', '投诉', '举报', '建议', '表扬', '其他')",
            name=op.f("ck_tickets_request_type_known"),
        ),
        sa.CheckConstraint("state <> 'answered' OR answered_at IS NOT NULL", name=op.f("ck_tickets_answered_has_time")),
        sa.CheckConstraint(
            "state IN ('registered', 'dispatched', 'signed', 'answered', 'closed')", name=op.f("ck_tickets_state_known")
        ),
        sa.CheckConstraint(
            "state NOT IN ('dispatched', 'signed', 'answered') OR dispatched_at IS NOT NULL",
            name=op.f("ck_tickets_out_has_time"),
        ),
        sa.CheckConstraint("urgency IN ('特急', '紧急', '一般')", name=op.f("ck_tickets_urgency_known")),
        sa.CheckConstraint("(source_system IS NULL) = (source_key IS NULL)", name=op.f("ck_tickets_source_whole")),
        sa.CheckConstraint("char_length(content) BETWEEN 1 AND 120000", name=op.f("ck_tickets_content_length")),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 300", name=op.f("ck_tickets_title_length")),
        sa.CheckConstraint("repeats_id IS NULL OR repeats_id < id", name=op.f("ck_tickets_repeats_an_older_one")),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name=op.f("fk_tickets_category_id")),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_tickets_region_id")),
        sa.ForeignKeyConstraint(["registered_by"], ["users.id"], name=op.f("fk_tickets_registered_by")),
        sa.ForeignKeyConstraint(["repeats_id"], ["tickets.id"], name=op.f("fk_tickets_repeats_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("number", name=op.f("uq_tickets_number")),
        sa.UniqueConstraint("source_system", "source_key", name=op.f("uq_tickets_source_system_source_key")),
    )
    op.create_index(
        "ix_tickets_bad_reviews",
        "tickets",
        [sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("kind = 'bad_review'"),
    )
    op.create_index("ix_tickets_category_id", "tickets", ["category_id", sa.literal_column("id DESC")], unique=False)
    op.create_index(
        "ix_tickets_closed_at",
        "tickets",
        ["closed_at"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NOT NULL"),
    )
    op.create_index(
        "ix_tickets_due_at", "tickets", ["due_at", "id"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index(
        "ix_tickets_phone_index",
        "tickets",
        ["phone_index", sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("phone_index IS NOT NULL"),
    )
    op.create_index("ix_tickets_state_id", "tickets", ["state", sa.literal_column("id DESC")], unique=False)
    op.create_table(
        "attachments",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False, comment="by content, not by name"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="sha256 of the stored content"),
        sa.Column("public", sa.Boolean(), server_default="false", nullable=False, comment="shown to the citizen"),
        sa.Column("added_by", sa.BigInteger(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("size BETWEEN 1 AND 20971520", name=op.f("ck_attachments_size_bounded")),
        sa.ForeignKeyConstraint(["added_by"], ["users.id"], name=op.f("fk_attachments_added_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_attachments_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
        sa.UniqueConstraint("ticket_id", "digest", name=op.f("uq_attachments_ticket_id_digest")),
    )
    op.create_table(
        "bad_reviews",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("service_item", sa.Text(), nullable=False),
        sa.Column("service_window", sa.Text(), server_default="", nullable=False),
        sa.Column("department_code", sa.Text(), nullable=False, comment="the unit that was rated"),
        sa.Column("stars", sa.BigInteger(), nullable=False),
        sa.Column("real_name", sa.Boolean(), nullable=False),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed", sa.Text(), nullable=True),
        sa.Column("proposed_by", sa.BigInteger(), nullable=True),
        sa.Column("proposed_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("verified_by", sa.BigInteger(), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rectification", sa.Text(), server_default="", nullable=False),
        sa.Column("rectified_by", sa.BigInteger(), nullable=True),
        sa.Column("rectified_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(rectified_at IS NULL) = (rectification = '')", name=op.f("ck_bad_reviews_rectified_has_words")
        ),
        sa.CheckConstraint(
            "proposed IN ('justified_simple', 'justified_complex', 'no_legal_basis', 'mistaken', 'malicious', 'invalid')",
            name=op.f("ck_bad_reviews_proposed_known"),
        ),
        sa.CheckConstraint(
            "verdict IN ('justified_simple', 'justified_complex', 'no_legal_basis', 'mistaken', 'malicious', 'invalid')",
            name=op.f("ck_bad_reviews_verdict_known"),
        ),
        sa.CheckConstraint("(verdict IS NULL) = (verified_at IS NULL)", name=op.f("ck_bad_reviews_verdict_has_time")),
        sa.CheckConstraint("stars BETWEEN 1 AND 2", name=op.f("ck_bad_reviews_is_bad")),
        sa.CheckConstraint(
            "verdict IS NULL OR verified_by IS DISTINCT FROM proposed_by", name=op.f("ck_bad_reviews_two_persons")
        ),
        sa.ForeignKeyConstraint(["proposed_by"], ["users.id"], name=op.f("fk_bad_reviews_proposed_by")),
        sa.ForeignKeyConstraint(["rectified_by"], ["users.id"], name=op.f("fk_bad_reviews_rectified_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_bad_reviews_ticket_id")),
        sa.ForeignKeyConstraint(["verified_by"], ["users.id"], name=op.f("fk_bad_reviews_verified_by")),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_bad_reviews")),
    )
    op.create_table(
        "citizen_ratings",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("stars", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name=op.f("ck_citizen_ratings_stars_range")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_citizen_ratings_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_citizen_ratings")),
        sa.UniqueConstraint("ticket_id", "round", name=op.f("uq_citizen_ratings_ticket_id_round")),
    )
    op.create_table(
        "dispatches",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False, comment="0 at first, then one more for each rework"),
        sa.Column("is_current", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("automatic", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why this department, in words"),
        sa.Column("sent_by", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False, comment="deadline profile and its version, as granted"),
        sa.Column("sign_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "steps",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="clock name -> the steps that lead to its deadline",
        ),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signed_by", sa.BigInteger(), nullable=True),
        sa.Column("contacted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "ending IN ('sent_back', 'reworked', 'closed', 'withdrawn')", name=op.f("ck_dispatches_ending_known")
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_dispatches_ended_has_reason")),
        sa.CheckConstraint(
            "answered_at IS NULL OR signed_at IS NOT NULL", name=op.f("ck_dispatches_signed_before_answered")
        ),
        sa.CheckConstraint("signed_at IS NULL OR signed_at >= sent_at", name=op.f("ck_dispatches_signed_after_sent")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_dispatches_department_id")),
        sa.ForeignKeyConstraint(["sent_by"], ["users.id"], name=op.f("fk_dispatches_sent_by")),
        sa.ForeignKeyConstraint(["signed_by"], ["users.id"], name=op.f("fk_dispatches_signed_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_dispatches_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatches")),
    )
    op.create_index(
        "ix_dispatches_department_id",
        "dispatches",
        ["department_id", sa.literal_column("ticket_id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_dispatches_desk",
        "dispatches",
        ["department_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("is_current AND answered_at IS NULL AND ended_at IS NULL"),
    )
    op.create_index("ix_dispatches_ticket_id", "dispatches", ["ticket_id", "id"], unique=False)
    op.create_index(
        "uq_dispatches_current", "dispatches", ["ticket_id"], unique=True, postgresql_where=sa.text("is_current")
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column("by_role", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False, comment="redacted words for the timeline"),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="no personal data",
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="version of the ticket after the act"),
        sa.CheckConstraint(
            "act IN ('register', 'answer_directly', 'refuse', 'transfer', 'withdraw', 'dispatch', 'sign', 'send_back', 'answer', 'confirm', 'give_up_calling', 'decline_callback', 'rework', 'amend', 'attach', 'call', 'contact', 'note', 'rate', 'reveal', 'repeat', 'suggest', 'verify', 'rectify')",
            name=op.f("ck_journal_act_known"),
        ),
        sa.CheckConstraint(
            "from_state IN ('registered', 'dispatched', 'signed', 'answered', 'closed')",
            name=op.f("ck_journal_from_state_known"),
        ),
        sa.CheckConstraint(
            "to_state IN ('registered', 'dispatched', 'signed', 'answered', 'closed')",
            name=op.f("ck_journal_to_state_known"),
        ),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_journal_by_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_journal_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
    )
    op.create_index(
        "ix_journal_reveals",
        "journal",
        ["by_id", "at"],
        unique=False,
        postgresql_where=sa.text("act = 'reveal'"),
    )
    op.create_index("ix_journal_ticket_id_id", "journal", ["ticket_id", "id"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("scope", sa.Text(), nullable=False, comment="which door: web, api:<token's user>, ..."),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="of the content, keyed"),
        sa.Column("ticket_id", sa.BigInteger(), nullable=True),
        sa.Column("answer_sealed", sa.LargeBinary(), server_default="", nullable=False, comment="number, code"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_submissions_ticket_id")),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_submissions")),
    )
    op.create_index("ix_submissions_at", "submissions", ["at"], unique=False)
    op.create_table(
        "suggestions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "body",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="top candidates of each task with probabilities and words",
        ),
        sa.Column("category_id", sa.BigInteger(), nullable=True),
        sa.Column("department_id", sa.BigInteger(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("abstained", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why a person must decide, in words"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("agreed", sa.Boolean(), nullable=True, comment="did the first dispatch by a person agree?"),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_suggestions_probability_range")),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name=op.f("fk_suggestions_category_id")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_suggestions_department_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_suggestions_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suggestions")),
        sa.UniqueConstraint("ticket_id", "model_version", name=op.f("uq_suggestions_ticket_id_model_version")),
    )
    op.create_table(
        "ticket_search",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_search_ticket_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_ticket_search")),
    )
    op.create_index("ix_ticket_search_words", "ticket_search", ["words"], unique=False, postgresql_using="gin")
    op.create_table(
        "answers",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("internal_note", sa.Text(), nullable=False),
        sa.Column("public_answer", sa.Text(), nullable=False),
        sa.Column("found_true", sa.Boolean(), nullable=False, comment="诉求是否属实"),
        sa.Column("beyond_duty", sa.Boolean(), server_default="false", nullable=False, comment="是否超职责"),
        sa.Column("solved", sa.Text(), nullable=False, comment="the unit's own claim"),
        sa.Column("plan", sa.Text(), server_default="", nullable=False, comment="when not solved: what comes"),
        sa.Column("plan_on", sa.Date(), nullable=True),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "solved = 'solved' OR (plan <> '' AND plan_on IS NOT NULL)", name=op.f("ck_answers_unsolved_has_plan")
        ),
        sa.CheckConstraint("solved IN ('solved', 'partly', 'unsolved')", name=op.f("ck_answers_solved_known")),
        sa.CheckConstraint(
            "char_length(public_answer) BETWEEN 10 AND 10000", name=op.f("ck_answers_public_answer_length")
        ),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_answers_by_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_answers_dispatch_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_answers_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answers")),
        sa.UniqueConstraint("dispatch_id", name=op.f("uq_answers_dispatch_id")),
    )
    op.create_index("ix_answers_ticket_id", "answers", ["ticket_id", "id"], unique=False)
    op.create_table(
        "callbacks",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "priority",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="2 = bad review, 1 = unhappy rating",
        ),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("claimed_by", sa.BigInteger(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replied", sa.Boolean(), nullable=True),
        sa.Column("solved", sa.Text(), nullable=True),
        sa.Column("process", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("wants_rework", sa.Boolean(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_by", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "(coalesce(verdict, '') IN ('close', 'rework')) = (replied IS NOT NULL AND solved IS NOT NULL AND process IS NOT NULL AND result IS NOT NULL)",
            name=op.f("ck_callbacks_only_reached_have_answers"),
        ),
        sa.CheckConstraint(
            "process IN ('satisfied', 'mostly', 'unsatisfied')", name=op.f("ck_callbacks_process_known")
        ),
        sa.CheckConstraint("result IN ('satisfied', 'mostly', 'unsatisfied')", name=op.f("ck_callbacks_result_known")),
        sa.CheckConstraint("solved IN ('solved', 'mostly', 'unsolved')", name=op.f("ck_callbacks_solved_known")),
        sa.CheckConstraint(
            "verdict IN ('close', 'rework', 'unreachable', 'declined')", name=op.f("ck_callbacks_verdict_known")
        ),
        sa.CheckConstraint(
            "verdict IS DISTINCT FROM 'rework' OR reason <> ''", name=op.f("ck_callbacks_rework_has_reason")
        ),
        sa.CheckConstraint("(done_at IS NULL) = (verdict IS NULL)", name=op.f("ck_callbacks_done_has_verdict")),
        sa.ForeignKeyConstraint(["claimed_by"], ["users.id"], name=op.f("fk_callbacks_claimed_by")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_callbacks_dispatch_id")),
        sa.ForeignKeyConstraint(["done_by"], ["users.id"], name=op.f("fk_callbacks_done_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_callbacks_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        sa.UniqueConstraint("dispatch_id", name=op.f("uq_callbacks_dispatch_id")),
    )
    op.create_index(
        "ix_callbacks_done_at",
        "callbacks",
        [sa.literal_column("done_at DESC")],
        unique=False,
        postgresql_where=sa.text("done_at IS NOT NULL"),
    )
    op.create_index("ix_callbacks_ticket_id", "callbacks", ["ticket_id", "id"], unique=False)
    op.create_index(
        "ix_callbacks_waiting",
        "callbacks",
        [sa.literal_column("priority DESC"), "planned_at", "id"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "callback_attempts",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("callback_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('reached', 'no_answer', 'busy', 'wrong_number', 'declined')",
            name=op.f("ck_callback_attempts_outcome_known"),
        ),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_callback_attempts_by_id")),
        sa.ForeignKeyConstraint(["callback_id"], ["callbacks.id"], name=op.f("fk_callback_attempts_callback_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callback_attempts")),
    )
    op.create_index("ix_callback_attempts_callback_id", "callback_attempts", ["callback_id", "id"], unique=False)
    op.create_table(
        "periodic_runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_periodic_runs")),
    )
    op.execute(SEQUENCE)
    op.execute(NUMBER)
    op.execute(JOURNAL_KEPT)
    op.execute(JOURNAL_TRIGGER)
    op.execute(INDEPENDENT)
    op.execute(INDEPENDENT_TRIGGER)
    op.execute(COUNT_TICKETS)
    op.execute(COUNT_DISPATCHES)
    op.execute(COUNT_CALLBACKS)
    for table in COUNTED:
        for event, rows in (
            ("INSERT", "NEW TABLE AS new_rows"),
            ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
            ("DELETE", "OLD TABLE AS old_rows"),
        ):
            op.execute(
                f"CREATE TRIGGER count_{table}_{event.lower()} AFTER {event} ON {table} "
                f"REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION count_{table}()"
            )
    op.execute(SEARCH_STATISTICS)
    for statement in BUSY_TABLES.split(";"):
        op.execute(statement)


def downgrade() -> None:
    """Take everything down again; for development, never for a city with data."""
    for table in COUNTED:
        for event in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER count_{table}_{event} ON {table}")
        op.execute(f"DROP FUNCTION count_{table}()")
    op.execute("DROP TRIGGER callback_is_independent ON callbacks")
    op.execute("DROP FUNCTION callback_is_independent()")
    op.execute("DROP TRIGGER journal_is_kept ON journal")
    op.execute("DROP FUNCTION journal_is_kept()")
    op.drop_table("periodic_runs")
    op.drop_index("ix_callback_attempts_callback_id", table_name="callback_attempts")
    op.drop_table("callback_attempts")
    op.drop_index("ix_callbacks_waiting", table_name="callbacks", postgresql_where=sa.text("done_at IS NULL"))
    op.drop_index("ix_callbacks_ticket_id", table_name="callbacks")
    op.drop_index("ix_callbacks_done_at", table_name="callbacks", postgresql_where=sa.text("done_at IS NOT NULL"))
    op.drop_table("callbacks")
    op.drop_index("ix_answers_ticket_id", table_name="answers")
    op.drop_table("answers")
    op.drop_index("ix_ticket_search_words", table_name="ticket_search", postgresql_using="gin")
    op.drop_table("ticket_search")
    op.drop_table("suggestions")
    op.drop_index("ix_submissions_at", table_name="submissions")
    op.drop_table("submissions")
    op.drop_index("ix_journal_reveals", table_name="journal", postgresql_where=sa.text("act = 'reveal'"))
    op.drop_index("ix_journal_ticket_id_id", table_name="journal")
    op.drop_table("journal")
    op.drop_index("uq_dispatches_current", table_name="dispatches", postgresql_where=sa.text("is_current"))
    op.drop_index("ix_dispatches_ticket_id", table_name="dispatches")
    op.drop_index(
        "ix_dispatches_desk",
        table_name="dispatches",
        postgresql_where=sa.text("is_current AND answered_at IS NULL AND ended_at IS NULL"),
    )
    op.drop_index("ix_dispatches_department_id", table_name="dispatches")
    op.drop_table("dispatches")
    op.drop_table("citizen_ratings")
    op.drop_table("bad_reviews")
    op.drop_table("attachments")
    op.drop_index("ix_tickets_state_id", table_name="tickets")
    op.drop_index("ix_tickets_phone_index", table_name="tickets", postgresql_where=sa.text("phone_index IS NOT NULL"))
    op.drop_index("ix_tickets_closed_at", table_name="tickets", postgresql_where=sa.text("closed_at IS NOT NULL"))
    op.drop_index("ix_tickets_due_at", table_name="tickets", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_index("ix_tickets_category_id", table_name="tickets")
    op.drop_index("ix_tickets_bad_reviews", table_name="tickets", postgresql_where=sa.text("kind = 'bad_review'"))
    op.drop_table("tickets")
    op.drop_index(
        "ix_text_messages_waiting",
        table_name="text_messages",
        postgresql_where=sa.text("state IN ('waiting', 'sending')"),
    )
    op.drop_table("text_messages")
    op.drop_index("ix_sign_ins_user_id", table_name="sign_ins")
    op.drop_table("sign_ins")
    op.drop_table("reactions_done")
    op.drop_index("ix_memberships_department_id", table_name="memberships")
    op.drop_table("memberships")
    op.drop_table("installation_settings")
    op.drop_table("api_tokens")
    op.drop_table("users")
    op.drop_table("sign_in_failures")
    op.drop_table("regions")
    op.drop_index("ix_outbox_undelivered", table_name="outbox", postgresql_where=sa.text("delivered_at IS NULL"))
    op.drop_table("outbox")
    op.drop_table("departments")
    op.drop_table("counters")
    op.drop_table("counter_deltas")
    op.drop_table("categories")
    op.drop_table("calendar_days")
    op.execute("DROP FUNCTION ticket_number(timestamptz)")
    op.execute("DROP SEQUENCE ticket_numbers")
