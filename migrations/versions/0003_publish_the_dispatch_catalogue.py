"""Publish the dispatch catalogue: the tree of departments held, versions and rows, fallback owners, places, sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Two administrators who move A below B and B below A at once: the lock lets the second look at what the first did.
DEPARTMENT_TREE = """
CREATE FUNCTION departments_are_a_tree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    above bigint := NEW.parent_id;
    levels int := 1;
    below int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(12345, 4);
    WHILE above IS NOT NULL LOOP
        IF above = NEW.id THEN
            RAISE EXCEPTION 'a department cannot stand below itself'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'departments_have_no_circle';
        END IF;
        levels := levels + 1;
        EXIT WHEN levels > 4;
        SELECT parent_id INTO above FROM departments WHERE id = above;
    END LOOP;
    WITH RECURSIVE tree AS (
        SELECT id, 1 AS depth FROM departments WHERE parent_id = NEW.id
        UNION ALL
        SELECT d.id, tree.depth + 1 FROM departments d JOIN tree ON d.parent_id = tree.id WHERE tree.depth < 5
    )
    SELECT coalesce(max(depth), 0) INTO below FROM tree;
    IF levels + below > 4 THEN
        RAISE EXCEPTION 'departments stand in four levels'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'departments_have_four_levels';
    END IF;
    RETURN NEW;
END $$
"""

DEPARTMENT_TREE_TRIGGER = """
CREATE TRIGGER departments_are_a_tree BEFORE INSERT OR UPDATE OF parent_id ON departments
FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION departments_are_a_tree()
"""

# A region stands exactly one level below its parent; so no circle can close and no fifth level open.
REGION_TREE = """
CREATE FUNCTION regions_are_a_tree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    above int;
BEGIN
    IF NEW.parent_id IS NOT NULL THEN
        SELECT level INTO above FROM regions WHERE id = NEW.parent_id FOR SHARE;
    END IF;
    IF NEW.parent_id IS NOT NULL AND NEW.level IS DISTINCT FROM above + 1
        OR EXISTS (SELECT 1 FROM regions WHERE parent_id = NEW.id AND level <> NEW.level + 1) THEN
        RAISE EXCEPTION 'a region stands one level below the one it lies in'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'regions_are_a_tree';
    END IF;
    RETURN NEW;
END $$
"""

REGION_TREE_TRIGGER = """
CREATE TRIGGER regions_are_a_tree BEFORE INSERT OR UPDATE OF parent_id, level ON regions
FOR EACH ROW EXECUTE FUNCTION regions_are_a_tree()
"""

# What was published is what tickets were dispatched by: it never changes. FOR SHARE makes a publication wait for a row
# that is being written, and a row for a publication.
ROWS_OF_DRAFTS = """
CREATE FUNCTION catalogue_rows_of_drafts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    standing text;
    old_standing text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        SELECT state INTO old_standing FROM catalogue_versions WHERE id = OLD.version_id FOR SHARE;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT state INTO standing FROM catalogue_versions WHERE id = NEW.version_id FOR SHARE;
    END IF;
    IF coalesce(standing, 'draft') <> 'draft' OR coalesce(old_standing, 'draft') <> 'draft' THEN
        RAISE EXCEPTION 'a published catalogue is never changed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'catalogue_rows_of_drafts';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.lead_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM departments WHERE id = NEW.lead_id AND active)
        OR EXISTS (
            SELECT 1 FROM jsonb_array_elements_text(NEW.co_handlers) AS wanted(code)
            WHERE wanted.code <> 'district'
            AND NOT EXISTS (SELECT 1 FROM departments d WHERE d.code = wanted.code AND d.active)
        ) THEN
        RAISE EXCEPTION 'a row of the catalogue leads to a department that works'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'catalogue_rows_to_open_departments';
    END IF;
    RETURN NEW;
END $$
"""

ROWS_OF_DRAFTS_TRIGGER = """
CREATE TRIGGER catalogue_rows_of_drafts BEFORE INSERT OR UPDATE OR DELETE ON catalogue_rows
FOR EACH ROW EXECUTE FUNCTION catalogue_rows_of_drafts()
"""

VERSIONS_FORWARD = """
CREATE FUNCTION catalogue_versions_go_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.state, NEW.state) NOT IN (
        ('draft', 'draft'), ('draft', 'published'), ('published', 'published'), ('published', 'retired'),
        ('retired', 'retired')
    ) OR (OLD.valid_from IS NOT NULL AND NEW.valid_from IS DISTINCT FROM OLD.valid_from) THEN
        RAISE EXCEPTION 'a version of the catalogue is drafted, published and retired, in this order'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'catalogue_versions_go_forward';
    END IF;
    IF OLD.state = 'draft' AND NEW.state = 'published' AND EXISTS (
        SELECT 1 FROM catalogue_rows r LEFT JOIN departments d ON d.id = r.lead_id
        WHERE r.version_id = NEW.id AND (
            (r.lead_id IS NOT NULL AND NOT d.active)
            OR EXISTS (
                SELECT 1 FROM jsonb_array_elements_text(r.co_handlers) AS wanted(code)
                WHERE wanted.code <> 'district'
                AND NOT EXISTS (SELECT 1 FROM departments o WHERE o.code = wanted.code AND o.active)
            )
        )
    ) THEN
        RAISE EXCEPTION 'a row of the catalogue leads to a department that works'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'catalogue_rows_to_open_departments';
    END IF;
    RETURN NEW;
END $$
"""

VERSIONS_FORWARD_TRIGGER = """
CREATE TRIGGER catalogue_versions_go_forward BEFORE UPDATE OR DELETE ON catalogue_versions
FOR EACH ROW EXECUTE FUNCTION catalogue_versions_go_forward()
"""


def upgrade() -> None:
    """Hold the trees, and add the catalogue and the places it speaks of."""
    op.add_column(
        "regions",
        sa.Column(
            "aliases",
            postgresql.JSONB(),
            server_default="[]",
            nullable=False,
            comment="what people call it",
        ),
    )
    op.create_check_constraint(op.f("ck_regions_aliases_is_a_list"), "regions", "jsonb_typeof(aliases) = 'array'")
    op.create_table(
        "catalogue_versions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="what people call it by: 第 3 版"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False, comment="what is new in it"),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.BigInteger(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'published', 'retired')", name=op.f("ck_catalogue_versions_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'draft') = (valid_from IS NULL)", name=op.f("ck_catalogue_versions_published_has_window")
        ),
        sa.CheckConstraint(
            "(state = 'draft') = (published_at IS NULL)", name=op.f("ck_catalogue_versions_published_has_time")
        ),
        sa.CheckConstraint("valid_from >= published_at", name=op.f("ck_catalogue_versions_never_in_the_past")),
        sa.CheckConstraint("valid_to > valid_from", name=op.f("ck_catalogue_versions_window_has_length")),
        sa.CheckConstraint(
            "state <> 'retired' OR valid_to IS NOT NULL", name=op.f("ck_catalogue_versions_retired_has_end")
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_catalogue_versions_created_by")),
        sa.ForeignKeyConstraint(["published_by"], ["users.id"], name=op.f("fk_catalogue_versions_published_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue_versions")),
        sa.UniqueConstraint("number", name=op.f("uq_catalogue_versions_number")),
    )
    op.execute(
        "ALTER TABLE catalogue_versions ADD CONSTRAINT ex_catalogue_versions_windows "
        "EXCLUDE USING gist (tstzrange(valid_from, valid_to) WITH &&) WHERE (state <> 'draft')"
    )
    op.create_index(
        "uq_catalogue_versions_draft",
        "catalogue_versions",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'draft'"),
    )
    op.create_table(
        "catalogue_rows",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("category_id", sa.BigInteger(), nullable=True),
        sa.Column("region_id", sa.BigInteger(), nullable=True),
        sa.Column("request_type", sa.Text(), nullable=True),
        sa.Column("service_item", sa.Text(), server_default="", nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True, comment="empty: whoever owns the place"),
        sa.Column(
            "co_handlers", postgresql.JSONB(), server_default="[]", nullable=False, comment="codes of departments"
        ),
        sa.Column("sla_class", sa.Text(), server_default="", nullable=False, comment="chooses the row of the profile"),
        sa.Column("basis", sa.Text(), server_default="", nullable=False, comment="law, 三定 or list of duties"),
        sa.Column("origin", sa.Text(), server_default="", nullable=False, comment="where the row comes from, in words"),
        sa.Column("changed_by", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "request_type IN ('咨询', '求助', '投诉', '举报', '建议', '表扬', '其他')",
            name=op.f("ck_catalogue_rows_request_type_known"),
        ),
        sa.CheckConstraint("jsonb_typeof(co_handlers) = 'array'", name=op.f("ck_catalogue_rows_co_handlers_is_a_list")),
        sa.CheckConstraint(
            "char_length(basis) <= 1000 AND char_length(service_item) <= 200",
            name=op.f("ck_catalogue_rows_words_bounded"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["catalogue_versions.id"], name=op.f("fk_catalogue_rows_version_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name=op.f("fk_catalogue_rows_category_id")),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_catalogue_rows_region_id")),
        sa.ForeignKeyConstraint(["lead_id"], ["departments.id"], name=op.f("fk_catalogue_rows_lead_id")),
        sa.ForeignKeyConstraint(["changed_by"], ["users.id"], name=op.f("fk_catalogue_rows_changed_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue_rows")),
        sa.UniqueConstraint(
            "version_id",
            "category_id",
            "region_id",
            "request_type",
            "service_item",
            name="uq_catalogue_rows_key",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_catalogue_rows_lead_id", "catalogue_rows", ["lead_id"], unique=False)
    op.create_table(
        "catalogue_trials",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("of_version", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("done_days", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False),
        sa.Column("result", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed')", name=op.f("ck_catalogue_trials_state_known")
        ),
        sa.CheckConstraint("until > since", name=op.f("ck_catalogue_trials_period_has_length")),
        sa.CheckConstraint("done_days BETWEEN 0 AND days", name=op.f("ck_catalogue_trials_progress_range")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["catalogue_versions.id"], name=op.f("fk_catalogue_trials_version_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["asked_by"], ["users.id"], name=op.f("fk_catalogue_trials_asked_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue_trials")),
    )
    op.create_index("ix_catalogue_trials_version_id", "catalogue_trials", ["version_id", "id"], unique=False)
    op.create_table(
        "region_fallbacks",
        sa.Column("region_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_region_fallbacks_region_id")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_region_fallbacks_department_id")),
        sa.ForeignKeyConstraint(["changed_by"], ["users.id"], name=op.f("fk_region_fallbacks_changed_by")),
        sa.PrimaryKeyConstraint("region_id", name=op.f("pk_region_fallbacks")),
    )
    op.create_table(
        "places",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("aliases", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 2 AND 60", name=op.f("ck_places_name_length")),
        sa.CheckConstraint("jsonb_typeof(aliases) = 'array'", name=op.f("ck_places_aliases_is_a_list")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_places")),
    )
    op.create_table(
        "place_regions",
        sa.Column("place_id", sa.BigInteger(), nullable=False),
        sa.Column("region_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["place_id"], ["places.id"], name=op.f("fk_place_regions_place_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_place_regions_region_id")),
        sa.PrimaryKeyConstraint("place_id", "region_id", name=op.f("pk_place_regions")),
    )
    op.create_table(
        "duty_contacts",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("hours", sa.Text(), server_default="00:00-24:00", nullable=False, comment="local time"),
        sa.CheckConstraint(r"hours ~ '^\d\d:\d\d-\d\d:\d\d$'", name=op.f("ck_duty_contacts_hours_form")),
        sa.ForeignKeyConstraint(
            ["department_id"], ["departments.id"], name=op.f("fk_duty_contacts_department_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duty_contacts")),
        sa.UniqueConstraint("department_id", "phone", name=op.f("uq_duty_contacts_department_id_phone")),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="what tickets keep as source_system"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("deadline_source", sa.Text(), server_default="", nullable=False, comment="a source of the profiles"),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.CheckConstraint(r"code ~ '^[a-z0-9][a-z0-9_.-]{1,59}$'", name=op.f("ck_sources_code_form")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 60", name=op.f("ck_sources_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("code", name=op.f("uq_sources_code")),
    )
    op.add_column("dispatches", sa.Column("catalogue_version_id", sa.BigInteger(), nullable=True))
    op.add_column("dispatches", sa.Column("catalogue_row_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "dispatches",
        sa.Column(
            "sla_class",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="under which the limits were granted",
        ),
    )
    op.create_foreign_key(
        op.f("fk_dispatches_catalogue_version_id"), "dispatches", "catalogue_versions", ["catalogue_version_id"], ["id"]
    )
    op.create_check_constraint(
        op.f("ck_dispatches_row_has_version"),
        "dispatches",
        "catalogue_row_id IS NULL OR catalogue_version_id IS NOT NULL",
    )
    for statement in (
        DEPARTMENT_TREE,
        DEPARTMENT_TREE_TRIGGER,
        REGION_TREE,
        REGION_TREE_TRIGGER,
        ROWS_OF_DRAFTS,
        ROWS_OF_DRAFTS_TRIGGER,
        VERSIONS_FORWARD,
        VERSIONS_FORWARD_TRIGGER,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Take the catalogue away; what tickets remember of it goes with it, the tickets stay."""
    op.execute("DROP TRIGGER departments_are_a_tree ON departments")
    op.execute("DROP TRIGGER regions_are_a_tree ON regions")
    op.drop_constraint(op.f("ck_dispatches_row_has_version"), "dispatches", type_="check")
    op.drop_constraint(op.f("fk_dispatches_catalogue_version_id"), "dispatches", type_="foreignkey")
    for column in ("sla_class", "catalogue_row_id", "catalogue_version_id"):
        op.drop_column("dispatches", column)
    for table in (
        "sources",
        "duty_contacts",
        "place_regions",
        "places",
        "region_fallbacks",
        "catalogue_trials",
        "catalogue_rows",
        "catalogue_versions",
    ):
        op.drop_table(table)
    for function in (
        "departments_are_a_tree",
        "regions_are_a_tree",
        "catalogue_rows_of_drafts",
        "catalogue_versions_go_forward",
    ):
        op.execute(f"DROP FUNCTION {function}()")
    op.drop_constraint(op.f("ck_regions_aliases_is_a_list"), "regions", type_="check")
    op.drop_column("regions", "aliases")
