"""The table of example sentences that a city writes for its categories: a new one is known before it has tickets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base


class CategoryExample(Base):
    """One sentence as a citizen might say it, written by an administrator for a category; no ticket's text."""

    __tablename__ = "category_examples"

    id: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int] = mapped_column(ForeignKey("categories.id"))
    body: Mapped[str] = mapped_column(comment="without personal data: they are taken out before it is kept")
    at: Mapped[datetime]
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        # A sentence is an example once; also the list of a category's examples.
        UniqueConstraint("category_id", "body"),
        CheckConstraint("char_length(body) BETWEEN 5 AND 500", name="body_length"),
    )
