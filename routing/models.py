"""Tables of routing: departments, members, dispatches, answers, suggestions, calendar days."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CheckConstraint, Computed, FetchedValue, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from routing.catalogue.models import CatalogueVersion


class DepartmentKind(StrEnum):
    """What sort of unit it is."""

    HOTLINE = "hotline"
    BUREAU = "bureau"
    DISTRICT = "district"
    STREET = "street"
    HANDLER = "handler"
    COMPANY = "company"


#: Units that are given parts and never the ticket: the third level sees no citizen (domain.md 7 b).
PARTS_ONLY: Final = frozenset({DepartmentKind.HANDLER})


class Ending(StrEnum):
    """How a dispatch came to its end."""

    SENT_BACK = "sent_back"
    REWORKED = "reworked"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"
    #: A binding decision gave the ticket to another department.
    REASSIGNED = "reassigned"


class Standing(StrEnum):
    """How firmly a department holds a ticket (domain.md 2.6, 2.7)."""

    ORDINARY = "ordinary"
    #: Until the dispute over whose duty it is has been ruled on.
    INTERIM = "interim"
    #: By a ruling or by designation: it cannot be returned any more.
    BINDING = "binding"


class Solved(StrEnum):
    """What the department itself says of the result; never used for rates (domain.md 3.2)."""

    SOLVED = "solved"
    PARTLY = "partly"
    UNSOLVED = "unsolved"


class Department(Base):
    """A unit that answers tickets (承办单位), in a tree of up to four levels."""

    __tablename__ = "departments"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    short_name: Mapped[str]
    kind: Mapped[DepartmentKind] = mapped_column(EnumText(DepartmentKind))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"))
    region_code: Mapped[str] = mapped_column(default="", server_default="", comment="for territorial units")
    duty_phone: Mapped[str] = mapped_column(default="", server_default="")
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        one_of("kind", DepartmentKind),
        CheckConstraint("parent_id IS NULL OR parent_id <> id", name="not_its_own_parent"),
    )


class Membership(Base):
    """Who works for which department."""

    __tablename__ = "memberships"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"), primary_key=True)

    __table_args__ = (
        # Who are the members of this department?
        Index("ix_memberships_department_id", "department_id"),
    )


class Dispatch(Base):
    """A ticket in the hands of one department, with the deadlines granted and the reason for each."""

    __tablename__ = "dispatches"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    round: Mapped[int] = mapped_column(comment="0 at first, then one more for each rework")
    is_current: Mapped[bool] = mapped_column(default=True, server_default="true")
    automatic: Mapped[bool] = mapped_column(default=False, server_default="false")
    reason: Mapped[str] = mapped_column(default="", server_default="", comment="why this department, in words")
    sent_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    sent_at: Mapped[datetime]
    profile: Mapped[str] = mapped_column(comment="deadline profile and its version, as granted")
    sign_due_at: Mapped[datetime]
    due_at: Mapped[datetime]
    steps: Mapped[dict[str, Any]] = mapped_column(comment="clock name -> the steps that lead to its deadline")
    terms: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", comment="source, type, urgency and class that the profile was asked with"
    )
    suspended_until: Mapped[datetime | None] = mapped_column(comment="the clock stands until then (挂起)")
    moved_at: Mapped[datetime | None] = mapped_column(comment="a declared day or an edition moved the deadline last")
    moved_from: Mapped[datetime | None] = mapped_column(comment="where the deadline was before that")
    # A trigger takes both from the steps whenever the deadline is written, so that no writer can forget them.
    yellow_from: Mapped[datetime | None] = mapped_column(server_default=FetchedValue(), comment="kept by a trigger")
    red_from: Mapped[datetime | None] = mapped_column(server_default=FetchedValue(), comment="kept by a trigger")
    signed_at: Mapped[datetime | None]
    signed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    contacted_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ending: Mapped[Ending | None] = mapped_column(EnumText(Ending))
    standing: Mapped[Standing] = mapped_column(EnumText(Standing), default=Standing.ORDINARY, server_default="ordinary")
    #: The edition of the dispatch catalogue that was in force, and the row of it that spoke of this matter.
    catalogue_version_id: Mapped[int | None] = mapped_column(ForeignKey(CatalogueVersion.id))
    #: No foreign key: published rows are never deleted, and those of a draft must go without a scan of this table.
    catalogue_row_id: Mapped[int | None]
    sla_class: Mapped[str] = mapped_column(default="", server_default="", comment="under which the limits were granted")

    __table_args__ = (
        one_of("ending", Ending),
        one_of("standing", Standing),
        CheckConstraint("catalogue_row_id IS NULL OR catalogue_version_id IS NOT NULL", name="row_has_version"),
        CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended_has_reason"),
        CheckConstraint("(moved_at IS NULL) = (moved_from IS NULL)", name="moved_has_before"),
        CheckConstraint("answered_at IS NULL OR signed_at IS NOT NULL", name="signed_before_answered"),
        CheckConstraint("signed_at IS NULL OR signed_at >= sent_at", name="signed_after_sent"),
        # A trigger (dispatch_leaves_hands) empties it, and ends every pause, when the ticket is answered or taken away.
        CheckConstraint(
            "suspended_until IS NULL OR (answered_at IS NULL AND ended_at IS NULL)", name="only_held_ones_stand"
        ),
        # A ticket is in one pair of hands at a time.
        Index("uq_dispatches_current", "ticket_id", unique=True, postgresql_where=text("is_current")),
        # What must this department do next? Its desk, in order of the deadline.
        Index(
            "ix_dispatches_desk",
            "department_id",
            "due_at",
            "id",
            postgresql_where=text("is_current AND answered_at IS NULL AND ended_at IS NULL"),
        ),
        # What in hand has come to its yellow card? The sweep of supervision asks every minute.
        Index(
            "ix_dispatches_yellow_from",
            "yellow_from",
            postgresql_where=text("is_current AND answered_at IS NULL AND ended_at IS NULL"),
        ),
        # Which tickets were sent back, and how often? Supervision looks for those that fly between units.
        Index("ix_dispatches_sent_back", "ticket_id", postgresql_where=text("ending = 'sent_back'")),
        # What has this department had, newest first? Also the scope of what its members may see.
        Index("ix_dispatches_department_id", "department_id", text("ticket_id DESC")),
        # What went out by itself lately?
        Index("ix_dispatches_automatic", "sent_at", "id", postgresql_where=text("automatic")),
        # Every dispatch of a ticket, in order.
        Index("ix_dispatches_ticket_id", "ticket_id", "id"),
    )


class Answer(Base):
    """What a department fed back (反馈): an internal note and, apart from it, words for the citizen."""

    __tablename__ = "answers"

    id: Mapped[int] = mapped_column(primary_key=True)
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    internal_note: Mapped[str]
    public_answer: Mapped[str]
    found_true: Mapped[bool] = mapped_column(comment="诉求是否属实")
    beyond_duty: Mapped[bool] = mapped_column(default=False, server_default="false", comment="是否超职责")
    solved: Mapped[Solved] = mapped_column(EnumText(Solved), comment="the unit's own claim")
    left_out_why: Mapped[str] = mapped_column(
        default="", server_default="", comment="why the lead did not wait for open parts; a trigger asks for it"
    )
    plan: Mapped[str] = mapped_column(default="", server_default="", comment="when not solved: what comes")
    plan_on: Mapped[date | None]
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    at: Mapped[datetime]
    sent_back_at: Mapped[datetime | None] = mapped_column(comment="a reader of the hotline did not let it pass")
    fingerprint: Mapped[str] = mapped_column(
        Computed("md5(regexp_replace(public_answer, '[^㐀-鿿A-Za-z0-9]', '', 'g'))", persisted=True),
        comment="of its letters and figures alone",
    )

    __table_args__ = (
        one_of("solved", Solved),
        # A dispatch has one answer that holds.
        Index("uq_answers_dispatch_id", "dispatch_id", unique=True, postgresql_where=text("sent_back_at IS NULL")),
        # Who else was answered with these words?
        Index("ix_answers_fingerprint", "fingerprint"),
        CheckConstraint("char_length(public_answer) BETWEEN 10 AND 10000", name="public_answer_length"),
        CheckConstraint("solved = 'solved' OR (plan <> '' AND plan_on IS NOT NULL)", name="unsolved_has_plan"),
        # Every answer of a ticket, in order.
        Index("ix_answers_ticket_id", "ticket_id", "id"),
    )


class Suggestion(Base):
    """What the model said of a ticket, under which version, and what people made of it."""

    __tablename__ = "suggestions"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    model_version: Mapped[str]
    made_at: Mapped[datetime]
    body: Mapped[dict[str, Any]] = mapped_column(comment="top candidates of each task with probabilities and words")
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"))
    department_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"))
    probability: Mapped[float]
    abstained: Mapped[bool]
    reason: Mapped[str] = mapped_column(default="", server_default="", comment="why a person must decide, in words")
    decided_at: Mapped[datetime | None]
    agreed: Mapped[bool | None] = mapped_column(comment="did the first dispatch by a person agree?")

    __table_args__ = (
        UniqueConstraint("ticket_id", "model_version"),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability_range"),
    )
