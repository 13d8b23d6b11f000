"""Tables of callbacks, citizens' own ratings and bad reviews."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from callbacks.policy import AttemptOutcome, Satisfaction, Solved, Verdict
from hotline.core.db import Base, EnumText, one_of


class ReviewVerdict(StrEnum):
    """What a bad review is found to be (domain.md 4.3); only the justified ones must be rectified."""

    JUSTIFIED_SIMPLE = "justified_simple"
    JUSTIFIED_COMPLEX = "justified_complex"
    NO_LEGAL_BASIS = "no_legal_basis"
    MISTAKEN = "mistaken"
    MALICIOUS = "malicious"
    INVALID = "invalid"


#: What a bad review must be found to be for its unit to have to put something right (合理差评整改率, domain.md 4.3).
MUST_RECTIFY: Final = frozenset({ReviewVerdict.JUSTIFIED_SIMPLE, ReviewVerdict.JUSTIFIED_COMPLEX})


class Callback(Base):
    """The duty to call one citizen back after one answer, and what came of it."""

    __tablename__ = "callbacks"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"), unique=True)
    round: Mapped[int]
    planned_at: Mapped[datetime]
    priority: Mapped[int] = mapped_column(default=0, server_default="0", comment="2 = bad review, 1 = unhappy rating")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    claimed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    claimed_at: Mapped[datetime | None]
    replied: Mapped[bool | None]
    solved: Mapped[Solved | None] = mapped_column(EnumText(Solved))
    process: Mapped[Satisfaction | None] = mapped_column(EnumText(Satisfaction))
    result: Mapped[Satisfaction | None] = mapped_column(EnumText(Satisfaction))
    reason: Mapped[str] = mapped_column(default="", server_default="")
    wants_rework: Mapped[bool | None]
    verdict: Mapped[Verdict | None] = mapped_column(EnumText(Verdict))
    done_at: Mapped[datetime | None]
    done_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        one_of("solved", Solved),
        one_of("process", Satisfaction),
        one_of("result", Satisfaction),
        one_of("verdict", Verdict),
        CheckConstraint("(done_at IS NULL) = (verdict IS NULL)", name="done_has_verdict"),
        # Whoever was not reached has no satisfaction: it can never be counted as good (domain.md 3.5).
        CheckConstraint(
            "(coalesce(verdict, '') IN ('close', 'rework')) = (replied IS NOT NULL AND solved IS NOT NULL"
            " AND process IS NOT NULL AND result IS NOT NULL)",
            name="only_reached_have_answers",
        ),
        CheckConstraint("verdict IS DISTINCT FROM 'rework' OR reason <> ''", name="rework_has_reason"),
        # Whom do we ring next?
        Index(
            "ix_callbacks_waiting", text("priority DESC"), "planned_at", "id", postgresql_where=text("done_at IS NULL")
        ),
        # Every callback of a ticket; and the newest results.
        Index("ix_callbacks_ticket_id", "ticket_id", "id"),
        Index("ix_callbacks_done_at", text("done_at DESC"), postgresql_where=text("done_at IS NOT NULL")),
    )


class CallbackAttempt(Base):
    """One ringing."""

    __tablename__ = "callback_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    callback_id: Mapped[int] = mapped_column(ForeignKey("callbacks.id"))
    at: Mapped[datetime]
    outcome: Mapped[AttemptOutcome] = mapped_column(EnumText(AttemptOutcome))
    note: Mapped[str] = mapped_column(default="", server_default="")
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        one_of("outcome", AttemptOutcome),
        # The attempts of one callback, in order.
        Index("ix_callback_attempts_callback_id", "callback_id", "id"),
    )


class CitizenRating(Base):
    """What a citizen himself says of the handling on the tracking page."""

    __tablename__ = "citizen_ratings"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    round: Mapped[int]
    stars: Mapped[int]
    words: Mapped[str] = mapped_column(default="", server_default="")
    at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("ticket_id", "round"),
        CheckConstraint("stars BETWEEN 1 AND 5", name="stars_range"),
    )


class BadReview(Base):
    """What a counter's device told, and what two persons found (domain.md 4.3)."""

    __tablename__ = "bad_reviews"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    service_item: Mapped[str]
    service_window: Mapped[str] = mapped_column(default="", server_default="")
    department_code: Mapped[str] = mapped_column(comment="the unit that was rated")
    stars: Mapped[int]
    real_name: Mapped[bool]
    rated_at: Mapped[datetime]
    proposed: Mapped[ReviewVerdict | None] = mapped_column(EnumText(ReviewVerdict))
    proposed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    proposed_reason: Mapped[str] = mapped_column(default="", server_default="")
    verdict: Mapped[ReviewVerdict | None] = mapped_column(EnumText(ReviewVerdict))
    verified_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    verified_at: Mapped[datetime | None]
    rectification: Mapped[str] = mapped_column(default="", server_default="")
    rectified_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    rectified_at: Mapped[datetime | None]

    __table_args__ = (
        one_of("proposed", ReviewVerdict),
        one_of("verdict", ReviewVerdict),
        CheckConstraint("stars BETWEEN 1 AND 2", name="is_bad"),
        CheckConstraint("(verdict IS NULL) = (verified_at IS NULL)", name="verdict_has_time"),
        # Two different persons (domain.md 4.3).
        CheckConstraint("verdict IS NULL OR verified_by IS DISTINCT FROM proposed_by", name="two_persons"),
        CheckConstraint("(rectified_at IS NULL) = (rectification = '')", name="rectified_has_words"),
    )
