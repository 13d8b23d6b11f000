"""The table of sub-tasks: what a co-handler, or a department below the lead, does of one ticket."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class PartKind(StrEnum):
    """Who does the part: a co-handler, who sees the ticket, or a department below the lead, which does not."""

    ASSIST = "assist"
    FORWARD = "forward"


class PartEnding(StrEnum):
    """How a part came to its end."""

    ANSWERED = "answered"
    LEFT_OUT = "left_out"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


class Subtask(Base):
    """A part of one ticket in other hands than the lead's, with its own deadline and answer (协办, 转办下级)."""

    __tablename__ = "subtasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    kind: Mapped[PartKind] = mapped_column(EnumText(PartKind))
    words: Mapped[str] = mapped_column(comment="what is to be done; names nobody")
    relay_number: Mapped[str | None] = mapped_column(comment="中间号: reaches the citizen while the part is open")
    due_at: Mapped[datetime]
    due_chosen: Mapped[bool] = mapped_column(
        default=False, server_default="false", comment="by a person; otherwise it was counted"
    )
    given_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    given_at: Mapped[datetime]
    signed_at: Mapped[datetime | None]
    signed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    answer: Mapped[str] = mapped_column(default="", server_default="")
    answered_at: Mapped[datetime | None]
    answered_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ended_at: Mapped[datetime | None]
    ending: Mapped[PartEnding | None] = mapped_column(EnumText(PartEnding))
    ended_words: Mapped[str] = mapped_column(default="", server_default="")

    # That a part lies inside the lead's time, goes to an open department that is not the lead, and, forwarded, only
    # downwards, is held by the trigger subtask_is_within; that it ends with its dispatch by subtasks_end.
    __table_args__ = (
        one_of("kind", PartKind),
        one_of("ending", PartEnding),
        CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended_has_reason"),
        CheckConstraint("(answered_at IS NOT NULL) = (coalesce(ending, '') = 'answered')", name="answered_is_ended"),
        CheckConstraint("answered_at IS NULL OR answer <> ''", name="answered_has_words"),
        CheckConstraint("answered_at IS NULL OR signed_at IS NOT NULL", name="signed_before_answered"),
        CheckConstraint("words <> ''", name="says_what_to_do"),
        CheckConstraint("relay_number IS NULL OR kind = 'forward'", name="relay_only_below"),
        # A department has one open part of a dispatch.
        Index(
            "uq_subtasks_open", "dispatch_id", "department_id", unique=True, postgresql_where=text("ended_at IS NULL")
        ),
        # A relay number reaches one citizen.
        Index("uq_subtasks_relay_number", "relay_number", unique=True, postgresql_where=text("ended_at IS NULL")),
        # What must this department do next?
        Index("ix_subtasks_desk", "department_id", "due_at", "id", postgresql_where=text("ended_at IS NULL")),
        # Which tickets does this department have, or had, a part of? Also the scope of what its members may see.
        Index("ix_subtasks_department_id", "department_id", text("ticket_id DESC")),
        # Every part of a ticket, in order.
        Index("ix_subtasks_ticket_id", "ticket_id", "id"),
        # Which parts ended lately? The figures of each department's own part.
        Index("ix_subtasks_given_at", "given_at"),
    )
