"""Tables of the question whose duty a ticket is: returns that the hotline rules on (退单, domain.md 2.6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from routing.duty_rules import ReturnReason, ReturnState


class Return(Base):
    """A unit's wish to give a ticket back, with its evidence, and how the hotline ruled on it."""

    __tablename__ = "returns"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"), comment="who returns it")
    reason: Mapped[ReturnReason] = mapped_column(EnumText(ReturnReason))
    words: Mapped[str]
    basis: Mapped[str] = mapped_column(comment="law, 三定方案 or 权责清单, with the article")
    suggested_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"), comment="whose duty it is, they say")
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    asked_at: Mapped[datetime]
    decide_due_at: Mapped[datetime] = mapped_column(comment="until when the hotline should rule")
    decide_steps: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="why that is so")
    state: Mapped[ReturnState] = mapped_column(EnumText(ReturnState), default=ReturnState.OPEN, server_default="open")
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    decision: Mapped[str] = mapped_column(default="", server_default="", comment="the ruling in words")
    sent_to_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"), comment="who got it next, if at once")

    __table_args__ = (
        one_of("reason", ReturnReason),
        one_of("state", ReturnState),
        CheckConstraint("char_length(words) BETWEEN 1 AND 2000", name="words_length"),
        CheckConstraint("char_length(basis) BETWEEN 1 AND 1000", name="basis_length"),
        CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="ruled_has_time"),
        CheckConstraint("decided_at IS NULL OR decided_at >= asked_at", name="ruled_after_asked"),
        CheckConstraint("state <> 'refused' OR (decided_by IS NOT NULL AND decision <> '')", name="refused_has_words"),
        CheckConstraint(
            "state NOT IN ('upheld', 'refused') OR decided_by IS DISTINCT FROM asked_by OR asked_by IS NULL",
            name="nobody_rules_on_his_own",
        ),
        CheckConstraint("suggested_id IS NULL OR suggested_id <> department_id", name="suggests_another"),
        CheckConstraint("sent_to_id IS NULL OR state = 'upheld'", name="only_upheld_is_sent"),
        # A ticket has one open return at a time.
        Index("uq_returns_open", "ticket_id", unique=True, postgresql_where=text("state = 'open'")),
        # A unit does not return again for a reason that was refused to it (domain.md 2.6, rule 6).
        Index(
            "uq_returns_reason",
            "ticket_id",
            "department_id",
            "reason",
            unique=True,
            postgresql_where=text("state IN ('open', 'refused')"),
        ),
        # What must the hotline rule on next? The queue of the dispatch desk, in order of its limit.
        Index("ix_returns_waiting", "decide_due_at", "id", postgresql_where=text("state = 'open'")),
        # What has been returned of this ticket, in order? The next unit reads it.
        Index("ix_returns_ticket_id", "ticket_id", "id"),
    )
