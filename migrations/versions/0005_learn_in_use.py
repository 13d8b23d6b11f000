"""Keep model versions, training runs, the frozen sides of examples and the journal of learning."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ACTS = (
    "act IN ('asked', 'trained', 'refused', 'promoted', 'rolled_back', 'failed', 'settings', 'tightened', 'loosened', "
    "'settled', 'words', 'catalogue')"
)


def _moment(name: str, *, nullable: bool = True, comment: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, comment=comment)


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "model_versions",
        sa.Column("version", sa.Text(), nullable=False, comment="content hash; every suggestion names it"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why it stands where it stands"),
        sa.Column(
            "shipped",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="trained from the seed corpus alone",
        ),
        sa.Column(
            "made_from",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="counts and settings",
        ),
        sa.Column(
            "figures",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="how it did, measured",
        ),
        _moment("trained_at", nullable=False),
        _moment("decided_at"),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('candidate', 'in_use', 'retired', 'refused')", name=op.f("ck_model_versions_state_known")
        ),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_model_versions_decided_by")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model_versions")),
    )
    # One model answers at a time.
    op.create_index(
        "uq_model_versions_in_use",
        "model_versions",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'in_use'"),
    )
    # The history, newest first.
    op.create_index("ix_model_versions_trained_at", "model_versions", ["trained_at", "version"])
    op.create_table(
        "model_trainings",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, comment="in words: by hand, on schedule, a new category"),
        _moment("asked_at", nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        _moment("started_at"),
        _moment("beat_at", comment="last sign of life of the training process"),
        sa.Column("step", sa.Text(), server_default="", nullable=False, comment="what it is doing, in words"),
        sa.Column("share", sa.Float(), server_default="0", nullable=False, comment="how far it has come, 0 to 1"),
        _moment("ended_at"),
        sa.Column("version", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed')", name=op.f("ck_model_trainings_state_known")
        ),
        sa.CheckConstraint(
            "(state IN ('done', 'failed')) = (ended_at IS NOT NULL)", name=op.f("ck_model_trainings_ended_has_time")
        ),
        sa.CheckConstraint(
            "state <> 'running' OR started_at IS NOT NULL", name=op.f("ck_model_trainings_running_has_start")
        ),
        sa.CheckConstraint("share BETWEEN 0 AND 1", name=op.f("ck_model_trainings_share_range")),
        sa.ForeignKeyConstraint(["asked_by"], ["users.id"], name=op.f("fk_model_trainings_asked_by")),
        sa.ForeignKeyConstraint(["version"], ["model_versions.version"], name=op.f("fk_model_trainings_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_trainings")),
    )
    # One run at a time waits, and one runs: the machine has no room for two.
    op.create_index(
        "uq_model_trainings_open",
        "model_trainings",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )
    op.create_table(
        "training_sides",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("side", sa.Text(), nullable=False),
        _moment("assigned_at", nullable=False),
        sa.CheckConstraint("side IN ('train', 'holdout', 'neither')", name=op.f("ck_training_sides_side_known")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_training_sides_ticket_id")),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_training_sides")),
    )
    op.create_table(
        "learning_journal",
        sa.Column("id", sa.BigInteger(), nullable=False),
        _moment("at", nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="no personal data",
        ),
        sa.Column("alarm", sa.Boolean(), server_default="false", nullable=False, comment="a person must hear of it"),
        _moment("heard_at"),
        sa.Column("heard_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(_ACTS, name=op.f("ck_learning_journal_act_known")),
        sa.CheckConstraint("heard_at IS NULL OR alarm", name=op.f("ck_learning_journal_only_alarms_are_heard")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_learning_journal_by_id")),
        sa.ForeignKeyConstraint(["heard_by"], ["users.id"], name=op.f("fk_learning_journal_heard_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learning_journal")),
    )
    # What has nobody acknowledged yet? The page and the overview ask with every view.
    op.create_index(
        "ix_learning_journal_unheard",
        "learning_journal",
        ["id"],
        postgresql_where=sa.text("alarm AND heard_at IS NULL"),
    )


def downgrade() -> None:
    """Take the tables away; the model files stay, and `in-use.json` goes on saying which one answers."""
    op.drop_index("ix_learning_journal_unheard", table_name="learning_journal")
    op.drop_table("learning_journal")
    op.drop_table("training_sides")
    op.drop_index("uq_model_trainings_open", table_name="model_trainings")
    op.drop_table("model_trainings")
    op.drop_index("ix_model_versions_trained_at", table_name="model_versions")
    op.drop_index("uq_model_versions_in_use", table_name="model_versions")
    op.drop_table("model_versions")
