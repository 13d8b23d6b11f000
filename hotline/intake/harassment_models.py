"""Tables of harassment: marked calls, and limits that a second person confirmed for a time (domain.md 1.5 NR-09)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from hotline.intake.harassment_rules import HarassmentKind


class CallerLimitState(StrEnum):
    """How far a limit has come; one whose time is over stays `in_force` and holds no more."""

    ASKED = "asked"
    IN_FORCE = "in_force"
    REFUSED = "refused"
    LIFTED = "lifted"


class HarassmentMark(Base):
    """One call that harassed the hotline, with its evidence; can be taken back (骚扰标记)."""

    __tablename__ = "harassment_marks"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), comment="the ticket of that call")
    phone_index: Mapped[bytes] = mapped_column(LargeBinary, comment="keyed fingerprint of the phone")
    kind: Mapped[HarassmentKind] = mapped_column(EnumText(HarassmentKind))
    evidence: Mapped[str] = mapped_column(comment="what was said and done, redacted")
    warned: Mapped[bool] = mapped_column(default=False, server_default="false", comment="the caller was warned then")
    marked_at: Mapped[datetime]
    marked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    cleared_at: Mapped[datetime | None] = mapped_column(comment="taken back; does not count any more")
    cleared_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    cleared_why: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        one_of("kind", HarassmentKind),
        CheckConstraint("char_length(evidence) BETWEEN 10 AND 1000", name="evidence_length"),
        CheckConstraint("(cleared_at IS NULL) = (cleared_why = '')", name="cleared_with_a_reason"),
        # A call is marked once.
        Index("uq_harassment_marks_standing", "ticket_id", unique=True, postgresql_where=text("cleared_at IS NULL")),
        # What stands against this number? Asked as soon as a number is typed.
        Index("ix_harassment_marks_phone_index", "phone_index", "id", postgresql_where=text("cleared_at IS NULL")),
    )


class CallerLimit(Base):
    """For a time, calls of a number in which nothing is asked for may be ended (限制措施)."""

    __tablename__ = "caller_limits"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), comment="the ticket whose journal tells of it")
    phone_index: Mapped[bytes] = mapped_column(LargeBinary, comment="keyed fingerprint of the phone")
    reason: Mapped[str]
    state: Mapped[CallerLimitState] = mapped_column(EnumText(CallerLimitState))
    asked_at: Mapped[datetime]
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_words: Mapped[str] = mapped_column(default="", server_default="")
    ends_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    lifted_why: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        one_of("state", CallerLimitState),
        CheckConstraint("reason <> ''", name="has_reason"),
        CheckConstraint("(state = 'asked') = (decided_at IS NULL)", name="decided_has_time"),
        CheckConstraint("decided_by IS NULL OR decided_by <> asked_by", name="confirmed_by_another"),
        CheckConstraint("(state IN ('in_force', 'lifted')) = (ends_at IS NOT NULL)", name="in_force_has_end"),
        CheckConstraint("ends_at > decided_at AND ends_at <= decided_at + interval '30 days'", name="limited_in_time"),
        CheckConstraint("(state = 'lifted') = (lifted_at IS NOT NULL)", name="lifted_has_time"),
        # One wish per number waits at a time.
        Index("uq_caller_limits_asked", "phone_index", unique=True, postgresql_where=text("state = 'asked'")),
        # Is this number limited now? Asked as soon as a number is typed.
        Index("ix_caller_limits_phone_index", "phone_index", "ends_at", postgresql_where=text("state = 'in_force'")),
        # What waits, what is in force, what is over? The supervisor's list.
        Index("ix_caller_limits_state", "state", "id"),
    )
