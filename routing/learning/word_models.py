"""Tables of the city's words: editions and their words; one edition is in force, at most one is being written."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class WordKind(StrEnum):
    """What a word is for."""

    DICTIONARY = "dictionary"
    """Counts as one word: a name that the cutter would tear."""
    PLACE = "place"
    """A name that citizens say, and the region where it lies."""
    SYNONYM = "synonym"
    """A form that stands for another: typed, misheard, local."""
    STOP = "stop"
    """Says nothing and is not read."""
    RISK = "risk"
    """Raises a risk flag (domain.md 5.4 R1)."""
    URGENCY = "urgency"
    """Makes a text more urgent (domain.md 1.6)."""


class EditionState(StrEnum):
    """Where an edition stands."""

    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


class WordEdition(Base):
    """One edition of the city's words."""

    __tablename__ = "word_editions"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[EditionState] = mapped_column(EnumText(EditionState))
    based_on: Mapped[int | None] = mapped_column(ForeignKey("word_editions.id"))
    made_at: Mapped[datetime]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[datetime] = mapped_column(comment="last change of a word")
    tried_at: Mapped[datetime | None]
    trial: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", comment="what would change on past tickets: counts and ticket ids"
    )
    published_at: Mapped[datetime | None]
    published_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        one_of("state", EditionState),
        CheckConstraint("(state = 'draft') = (published_at IS NULL)", name="published_has_time"),
        CheckConstraint("based_on IS NULL OR based_on < id", name="based_on_an_older_one"),
        # One draft is written at a time, and one edition is in force; every process asks for the latter.
        Index(
            "uq_word_editions_standing",
            "state",
            unique=True,
            postgresql_where=text("state IN ('draft', 'published')"),
        ),
    )


class CityWord(Base):
    """One word of one edition."""

    __tablename__ = "city_words"

    id: Mapped[int] = mapped_column(primary_key=True)
    edition_id: Mapped[int] = mapped_column(ForeignKey("word_editions.id", ondelete="CASCADE"))
    kind: Mapped[WordKind] = mapped_column(EnumText(WordKind))
    word: Mapped[str]
    value: Mapped[str] = mapped_column(
        default="", server_default="", comment="meaning, risk, level of urgency or code of a region"
    )

    __table_args__ = (
        # A word says one thing in one edition; also the list of a kind, in order.
        UniqueConstraint("edition_id", "kind", "word"),
        one_of("kind", WordKind),
        CheckConstraint("char_length(word) BETWEEN 1 AND 30", name="word_length"),
        CheckConstraint("char_length(value) <= 30", name="value_length"),
        CheckConstraint("kind IN ('dictionary', 'stop') OR value <> ''", name="value_where_needed"),
        CheckConstraint("word <> value", name="not_its_own_meaning"),
    )
