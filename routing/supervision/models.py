"""Tables of supervision: cards, alarms, urging and supervision notices, leaders (domain.md 2.11)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from routing.clocks.deadlines import Card
from routing.supervision.triggers import NoticeKind, Trigger


class NoticeForm(StrEnum):
    """In what form a unit is called to account (domain.md 2.11)."""

    SYSTEM = "system"
    WRITTEN = "written"
    SPECIAL = "special"
    COMMAND = "command"


class NoticeEnding(StrEnum):
    """How a notice came to its end."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LIFTED = "lifted"


class ShownCard(Base):
    """A yellow or red card that a dispatch was shown, once for each deadline (红黄牌)."""

    __tablename__ = "cards"

    id: Mapped[int] = mapped_column(primary_key=True)
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    colour: Mapped[Card] = mapped_column(EnumText(Card))
    due_at: Mapped[datetime] = mapped_column(comment="the deadline that it stands for")
    shown_at: Mapped[datetime]
    settled_at: Mapped[datetime | None] = mapped_column(comment="answered, ended, or followed by red")
    lifted: Mapped[bool] = mapped_column(
        default=False, server_default="false", comment="the deadline was moved afterwards; does not count"
    )

    __table_args__ = (
        CheckConstraint("colour IN ('yellow', 'red')", name="colour_known"),
        CheckConstraint("NOT lifted OR settled_at IS NOT NULL", name="lifted_is_settled"),
        # A card is shown once.
        UniqueConstraint("dispatch_id", "colour", "due_at"),
        # Which cards are in force? The sweep and the lists; holds only those.
        Index(
            "ix_cards_in_force", "department_id", "colour", "due_at", "id", postgresql_where=text("settled_at IS NULL")
        ),
        # Which cards did this ticket see?
        Index("ix_cards_ticket_id", "ticket_id", "id"),
        # How many cards were shown in a period, by department?
        Index("ix_cards_shown_at", "shown_at", "department_id"),
    )


class Alarm(Base):
    """Something that somebody who can act must know; stands until he says a word to it."""

    __tablename__ = "alarms"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True, comment="one alarm per cause, however often it is found")
    trigger: Mapped[Trigger] = mapped_column(EnumText(Trigger))
    words: Mapped[str] = mapped_column(comment="the rung of the ladder, or the rule")
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    notice_id: Mapped[int | None] = mapped_column(ForeignKey("supervision_notices.id"))
    department_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"), comment="the unit it speaks of")
    to_department_id: Mapped[int | None] = mapped_column(
        ForeignKey("departments.id"), comment="whose members are told; nothing means the centre"
    )
    raised_at: Mapped[datetime]
    text_level: Mapped[int | None] = mapped_column(comment="whom a text message goes to: 0 duty contact, 1.. leaders")
    at_once: Mapped[bool] = mapped_column(
        default=False, server_default="false", comment="urgent: texted at any hour, not only in working time"
    )
    told_at: Mapped[datetime | None] = mapped_column(comment="a text was written, or nobody has a number")
    heeded_at: Mapped[datetime | None]
    heeded_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    heeded_word: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        one_of("trigger", Trigger),
        CheckConstraint("(heeded_at IS NULL) = (heeded_word = '')", name="heeded_with_a_word"),
        CheckConstraint("(heeded_at IS NULL) = (heeded_by IS NULL)", name="heeded_by_somebody"),
        CheckConstraint("text_level BETWEEN 0 AND 5", name="text_level_range"),
        # What must these units still take note of, newest first?
        Index("ix_alarms_waiting", "to_department_id", "id", postgresql_where=text("heeded_at IS NULL")),
        # What did these units take note of?
        Index("ix_alarms_to_department_id", "to_department_id", "id"),
        # What was said of this ticket?
        Index("ix_alarms_ticket_id", "ticket_id", "id"),
        # Which text messages are still to be written?
        Index(
            "ix_alarms_untold",
            "id",
            postgresql_where=text("told_at IS NULL AND text_level IS NOT NULL"),
        ),
    )


class SupervisionNotice(Base):
    """A unit is urged, or called to account, with a deadline of its own (催办单, 督办单)."""

    __tablename__ = "supervision_notices"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(unique=True, comment="set when the ladder or a trigger sent it")
    kind: Mapped[NoticeKind] = mapped_column(EnumText(NoticeKind))
    form: Mapped[NoticeForm] = mapped_column(
        EnumText(NoticeForm), default=NoticeForm.SYSTEM, server_default=NoticeForm.SYSTEM.value
    )
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    previous_id: Mapped[int | None] = mapped_column(
        ForeignKey("supervision_notices.id"), unique=True, comment="the one whose answer was not accepted"
    )
    words: Mapped[str] = mapped_column(comment="why, and what is demanded")
    times: Mapped[int] = mapped_column(default=1, server_default="1", comment="how often it was urged")
    sent_at: Mapped[datetime]
    sent_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    receive_due_at: Mapped[datetime]
    due_at: Mapped[datetime]
    received_at: Mapped[datetime | None]
    received_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    account: Mapped[str] = mapped_column(default="", server_default="", comment="what the unit answers")
    accounted_at: Mapped[datetime | None]
    accounted_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ending: Mapped[NoticeEnding | None] = mapped_column(EnumText(NoticeEnding))
    ending_words: Mapped[str] = mapped_column(default="", server_default="")
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        one_of("kind", NoticeKind),
        one_of("form", NoticeForm),
        one_of("ending", NoticeEnding),
        CheckConstraint("char_length(words) BETWEEN 1 AND 2000", name="words_length"),
        CheckConstraint("due_at > sent_at AND receive_due_at > sent_at", name="due_after_sent"),
        CheckConstraint("accounted_at IS NULL OR received_at IS NOT NULL", name="received_before_accounted"),
        CheckConstraint("(accounted_at IS NULL) = (account = '')", name="accounted_with_words"),
        CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended_has_ending"),
        CheckConstraint(
            "ending IS NULL OR ending = 'lifted' OR accounted_at IS NOT NULL", name="judged_after_accounted"
        ),
        CheckConstraint("times >= 1", name="times_positive"),
        # A unit has one open notice of a kind per ticket: who urges again counts up.
        Index(
            "uq_supervision_notices_open",
            "ticket_id",
            "department_id",
            "kind",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        # What must this unit answer, the next deadline first? The same order for the centre's list.
        Index("ix_supervision_notices_open", "due_at", "id", postgresql_where=text("ended_at IS NULL")),
        Index(
            "ix_supervision_notices_desk",
            "department_id",
            "due_at",
            "id",
            postgresql_where=text("ended_at IS NULL"),
        ),
        # Which notices came to an end, newest first?
        Index("ix_supervision_notices_department_id", "department_id", "id"),
        # Every notice of a ticket.
        Index("ix_supervision_notices_ticket_id", "ticket_id", "id"),
    )


class Leader(Base):
    """Who is told when a unit is late: a name and a number per level, 1 the nearest (分管领导, 主要领导 ...)."""

    __tablename__ = "leaders"

    id: Mapped[int] = mapped_column(primary_key=True)
    department_id: Mapped[int | None] = mapped_column(
        ForeignKey("departments.id"), comment="nothing means the hotline centre"
    )
    level: Mapped[int]
    name: Mapped[str]
    post: Mapped[str] = mapped_column(default="", server_default="")
    phone: Mapped[str]

    __table_args__ = (
        CheckConstraint("level BETWEEN 1 AND 5", name="level_range"),
        CheckConstraint("name <> '' AND phone <> ''", name="can_be_told"),
        # Who is told at this level? Also: nobody is told twice.
        UniqueConstraint("department_id", "level", "phone", postgresql_nulls_not_distinct=True),
    )
