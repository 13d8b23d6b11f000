"""Keep the city's own words in editions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "word_editions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("based_on", sa.BigInteger(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, comment="last change of a word"),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "trial",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="what would change on past tickets: counts and ticket ids",
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('draft', 'published', 'retired')", name=op.f("ck_word_editions_state_known")),
        sa.CheckConstraint(
            "(state = 'draft') = (published_at IS NULL)", name=op.f("ck_word_editions_published_has_time")
        ),
        sa.CheckConstraint("based_on IS NULL OR based_on < id", name=op.f("ck_word_editions_based_on_an_older_one")),
        sa.ForeignKeyConstraint(["based_on"], ["word_editions.id"], name=op.f("fk_word_editions_based_on")),
        sa.ForeignKeyConstraint(["made_by"], ["users.id"], name=op.f("fk_word_editions_made_by")),
        sa.ForeignKeyConstraint(["published_by"], ["users.id"], name=op.f("fk_word_editions_published_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_word_editions")),
    )
    # One draft is written at a time, and one edition is in force; every process asks for the latter.
    op.create_index(
        "uq_word_editions_standing",
        "word_editions",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state IN ('draft', 'published')"),
    )
    op.create_table(
        "city_words",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column(
            "value",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="meaning, risk, level of urgency or code of a region",
        ),
        sa.CheckConstraint(
            "kind IN ('dictionary', 'place', 'synonym', 'stop', 'risk', 'urgency')",
            name=op.f("ck_city_words_kind_known"),
        ),
        sa.CheckConstraint("char_length(word) BETWEEN 1 AND 30", name=op.f("ck_city_words_word_length")),
        sa.CheckConstraint("char_length(value) <= 30", name=op.f("ck_city_words_value_length")),
        sa.CheckConstraint(
            "kind IN ('dictionary', 'stop') OR value <> ''", name=op.f("ck_city_words_value_where_needed")
        ),
        sa.CheckConstraint("word <> value", name=op.f("ck_city_words_not_its_own_meaning")),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["word_editions.id"], name=op.f("fk_city_words_edition_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_city_words")),
        # A word says one thing in one edition; also the list of a kind, in order.
        sa.UniqueConstraint("edition_id", "kind", "word", name=op.f("uq_city_words_edition_id_kind_word")),
    )


def downgrade() -> None:
    """Take the tables away; the shipped words alone are read again, places that came from words stay."""
    op.drop_table("city_words")
    op.drop_index("uq_word_editions_standing", table_name="word_editions")
    op.drop_table("word_editions")
