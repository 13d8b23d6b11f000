"""The table of vettings: an answer that a person of the hotline reads before the citizen is called."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class VettingState(StrEnum):
    """Where the reading of an answer stands."""

    WAITING = "waiting"
    PASSED = "passed"
    SENT_BACK = "sent_back"


class Vetting(Base):
    """One answer before a reader (审核): why it is read, what the checks doubted, and what the reader said."""

    __tablename__ = "vettings"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    answer_id: Mapped[int] = mapped_column(ForeignKey("answers.id"), unique=True)
    state: Mapped[VettingState] = mapped_column(EnumText(VettingState))
    why: Mapped[str] = mapped_column(comment="why this answer is read")
    doubts: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="values of Doubt")
    answered_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    opened_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(comment="the hotline's own limit")
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    words: Mapped[str] = mapped_column(default="", server_default="", comment="why it was sent back")

    __table_args__ = (
        one_of("state", VettingState),
        CheckConstraint("(state = 'waiting') = (decided_at IS NULL)", name="decided_has_time"),
        CheckConstraint("state <> 'sent_back' OR words <> ''", name="sent_back_has_words"),
        # Nobody reads what he wrote.
        CheckConstraint("decided_by IS DISTINCT FROM answered_by OR answered_by IS NULL", name="two_persons"),
        # One answer of a ticket lies before a reader at a time.
        Index("uq_vettings_waiting", "ticket_id", unique=True, postgresql_where=text("state = 'waiting'")),
        # What is to be read next, the most urgent first?
        Index("ix_vettings_due_at", "due_at", "id", postgresql_where=text("state = 'waiting'")),
        # What was read last?
        Index(
            "ix_vettings_decided_at",
            text("decided_at DESC"),
            text("id DESC"),
            postgresql_where=text("decided_at IS NOT NULL"),
        ),
        # What did readers say of this dispatch's answers?
        Index("ix_vettings_dispatch_id", "dispatch_id", "id"),
    )
