"""Table of transfers: what went to another line or came from it, both numbers, and who owns it in the end."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class Direction(StrEnum):
    """Which way a matter went."""

    IN = "in"
    OUT = "out"


class Manner(StrEnum):
    """How it was handed over (domain.md 2.13)."""

    CALL = "call"
    CONFERENCE = "conference"
    EXCHANGE = "exchange"


class FinalOwner(StrEnum):
    """Who handled the matter in the end."""

    HOTLINE = "hotline"
    OTHER_LINE = "other_line"
    BOTH = "both"


class Transfer(Base):
    """One matter that crossed between this hotline and another line (110联动); its ticket stays (domain.md 2.13)."""

    __tablename__ = "transfers"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    direction: Mapped[Direction] = mapped_column(EnumText(Direction))
    line: Mapped[str] = mapped_column(comment="110, 119, 120, 122 or the name of another hotline")
    other_number: Mapped[str] = mapped_column(default="", server_default="", comment="the other side's record number")
    manner: Mapped[Manner] = mapped_column(EnumText(Manner))
    made_at: Mapped[datetime]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    final_owner: Mapped[FinalOwner | None] = mapped_column(EnumText(FinalOwner))
    owner_name: Mapped[str] = mapped_column(default="", server_default="", comment="the unit, in words")
    reply: Mapped[str] = mapped_column(default="", server_default="", comment="what it did, redacted")
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        one_of("direction", Direction),
        one_of("manner", Manner),
        one_of("final_owner", FinalOwner),
        CheckConstraint("line <> ''", name="line_named"),
        CheckConstraint("direction = 'out' OR other_number <> ''", name="incoming_has_number"),
        CheckConstraint("(settled_at IS NULL) = (final_owner IS NULL)", name="settled_has_owner"),
        CheckConstraint("(final_owner IS NULL) = (owner_name = '')", name="owner_named"),
        # A record of the other side comes in once, however often it is sent.
        Index("uq_transfers_incoming", "line", "other_number", unique=True, postgresql_where=text("direction = 'in'")),
        # Which tickets belong to this number of the other side? The query, and the other side's questions.
        Index("ix_transfers_other_number", "other_number", "id", postgresql_where=text("other_number <> ''")),
        # What crossed on this ticket?
        Index("ix_transfers_ticket_id", "ticket_id", "id"),
        # Of what does nobody know yet who owns it in the end? The linkage desk; holds only those.
        Index("ix_transfers_unsettled", "direction", "id", postgresql_where=text("settled_at IS NULL")),
    )
