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
        # Which are too old to be offered? The catch-up takes them away.
        Index("ix_ticket_sketches_registered_at", "registered_at"),
    )


class TicketSketchKey(Base):
    """One number of one sketch: which tickets share it is read from the primary key alone.

    Kept by the trigger ticket_sketches_keys, so that it says what the sketches say; hence no foreign key, which would
    be asked sixty times for each ticket.
    """

    __tablename__ = "ticket_sketch_keys"

    key: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    ticket_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
