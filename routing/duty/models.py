"""Tables of the question whose duty a ticket is: returns (退单, domain.md 2.6) and disputes (职责争议, 2.7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from hotline.tickets.vocabulary import RequestType
from routing.duty.rules import Cause, DisputeState, ReturnReason, ReturnState, RulingState, Seat, Stance


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


class Dispute(Base):
    """Several units say that a ticket is not theirs; a panel rules, and meanwhile one of them works on it."""

    __tablename__ = "disputes"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    cause: Mapped[Cause] = mapped_column(EnumText(Cause))
    words: Mapped[str] = mapped_column(default="", server_default="", comment="why, in words")
    opened_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    opened_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(comment="until when the panel rules")
    steps: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="why that is so")
    interim_id: Mapped[int] = mapped_column(ForeignKey("departments.id"), comment="who works on it meanwhile")
    interim_reason: Mapped[str] = mapped_column(default="", server_default="")
    state: Mapped[DisputeState] = mapped_column(
        EnumText(DisputeState), default=DisputeState.OPEN, server_default="open"
    )
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ended_words: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        one_of("cause", Cause),
        one_of("state", DisputeState),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended_has_time"),
        CheckConstraint("ended_at IS NULL OR ended_at >= opened_at", name="ended_after_opened"),
        CheckConstraint("due_at > opened_at", name="has_time"),
        # A ticket has one open dispute at a time.
        Index("uq_disputes_open", "ticket_id", unique=True, postgresql_where=text("state = 'open'")),
        # Which disputes must be ruled on next, and whose limit has passed?
        Index("ix_disputes_waiting", "due_at", "id", postgresql_where=text("state = 'open'")),
        # What was disputed of this ticket?
        Index("ix_disputes_ticket_id", "ticket_id", "id"),
    )


class DisputeParty(Base):
    """A unit that is heard in a dispute; it reads the dispute's page, whether or not it ever held the ticket."""

    __tablename__ = "dispute_parties"

    dispute_id: Mapped[int] = mapped_column(ForeignKey("disputes.id"), primary_key=True)
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"), primary_key=True)

    __table_args__ = (
        # In which disputes is this unit heard?
        Index("ix_dispute_parties_department_id", "department_id", "dispute_id"),
    )


class PanelMember(Base):
    """Who rules on a dispute, and for whom he sits."""

    __tablename__ = "panel_members"

    dispute_id: Mapped[int] = mapped_column(ForeignKey("disputes.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    seat: Mapped[Seat] = mapped_column(EnumText(Seat))

    __table_args__ = (
        one_of("seat", Seat),
        # On which disputes does this person rule?
        Index("ix_panel_members_user_id", "user_id", "dispute_id"),
    )


class Position(Base):
    """What a unit says in a dispute, with its documents; it may say more later, nothing is overwritten."""

    __tablename__ = "positions"

    id: Mapped[int] = mapped_column(primary_key=True)
    dispute_id: Mapped[int] = mapped_column(ForeignKey("disputes.id"))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    stance: Mapped[Stance] = mapped_column(EnumText(Stance))
    words: Mapped[str]
    basis: Mapped[str]
    attachment_ids: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="of `attachments`")
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    at: Mapped[datetime]

    __table_args__ = (
        one_of("stance", Stance),
        CheckConstraint("char_length(words) BETWEEN 1 AND 5000", name="words_length"),
        CheckConstraint("char_length(basis) BETWEEN 1 AND 2000", name="basis_length"),
        # What was said in this dispute, in order?
        Index("ix_positions_dispute_id", "dispute_id", "id"),
    )


class Ruling(Base):
    """Who leads and who helps: proposed by one member of the panel, binding once another one has confirmed it.

    One that is in force is a precedent until it is retired: later proposals cite it.
    """

    __tablename__ = "rulings"

    id: Mapped[int] = mapped_column(primary_key=True)
    dispute_id: Mapped[int] = mapped_column(ForeignKey("disputes.id"))
    state: Mapped[RulingState] = mapped_column(
        EnumText(RulingState), default=RulingState.PROPOSED, server_default="proposed"
    )
    lead_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    assist_ids: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="departments that help")
    words: Mapped[str]
    basis: Mapped[str]
    proposed_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    proposed_at: Mapped[datetime]
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    confirmed_at: Mapped[datetime | None]
    dropped_words: Mapped[str] = mapped_column(default="", server_default="")
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"), comment="what it is a precedent for")
    region_id: Mapped[int | None] = mapped_column(ForeignKey("regions.id"))
    request_type: Mapped[RequestType | None] = mapped_column(EnumText(RequestType), comment="null: any")
    retired_at: Mapped[datetime | None] = mapped_column(comment="cited no more since then")

    __table_args__ = (
        one_of("state", RulingState),
        one_of("request_type", RequestType),
        CheckConstraint("char_length(words) BETWEEN 1 AND 5000", name="words_length"),
        CheckConstraint("char_length(basis) BETWEEN 1 AND 2000", name="basis_length"),
        CheckConstraint("confirmed_by IS NULL OR confirmed_by <> proposed_by", name="two_persons"),
        CheckConstraint("(state = 'in_force') = (confirmed_at IS NOT NULL)", name="in_force_has_time"),
        CheckConstraint("(confirmed_by IS NULL) = (confirmed_at IS NULL)", name="confirmed_by_somebody"),
        CheckConstraint("retired_at IS NULL OR state = 'in_force'", name="only_rulings_retire"),
        # A dispute has one ruling: two panels, or two members at once, cannot both rule.
        Index("uq_rulings_standing", "dispute_id", unique=True, postgresql_where=text("state <> 'dropped'")),
        # Which precedents are there for this kind of matter?
        Index(
            "ix_rulings_precedents",
            "category_id",
            "id",
            postgresql_where=text("state = 'in_force' AND retired_at IS NULL"),
        ),
    )


class Overruling(Base):
    """An edition of the catalogue says otherwise than a ruling that binds, and somebody said that he means it."""

    __tablename__ = "overrulings"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("catalogue_versions.id"))
    ruling_id: Mapped[int] = mapped_column(ForeignKey("rulings.id"))
    instead: Mapped[str] = mapped_column(comment="codes: who leads, then whom the edition leaves out")
    words: Mapped[str] = mapped_column(comment="the same in words")
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    at: Mapped[datetime]

    # That only a ruling that binds is overruled, and only by a published edition, is held by overrules_what_binds.
    __table_args__ = (
        CheckConstraint("instead <> '' AND words <> ''", name="says_what"),
        # Which editions overrule this ruling? Each says so once.
        Index("uq_overrulings_ruling", "ruling_id", "version_id", unique=True),
    )
