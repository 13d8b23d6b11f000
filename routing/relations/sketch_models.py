"""The table by which likely duplicates are found (classifier.duplicates)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base


class TicketSketch(Base):
    """The numbers that stand for a recent ticket's redacted text; tickets that share two may be one matter."""

    __tablename__ = "ticket_sketches"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    registered_at: Mapped[datetime] = mapped_column(comment="of the ticket; what is too old is forgotten by it")
    version: Mapped[int] = mapped_column(SmallInteger, comment="classifier.duplicates.SKETCH_VERSION")
    keys: Mapped[list[int]] = mapped_column(ARRAY(Integer), comment="31 bits of each number of the sketch")

    __table_args__ = (
        CheckConstraint("cardinality(keys) <= 64", name="keys_bounded"),
        # Which tickets share this number? No pending list: sixty look-ups of one question would each read it whole.
        Index("ix_ticket_sketches_keys", "keys", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        # Which are too old to be offered? The catch-up takes them away.
        Index("ix_ticket_sketches_registered_at", "registered_at"),
    )
