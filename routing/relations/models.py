"""Tables of relations between tickets: who is answered with whom, incidents and their callers (domain.md 1.7)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class Place(StrEnum):
    """Where a ticket stands among those of one matter."""

    MAIN = "main"
    MEMBER = "member"


class MergePlace(Base):
    """A ticket is a main one or a member and never both: so there is no chain and no circle, whoever comes first."""

    __tablename__ = "merge_places"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    place: Mapped[Place] = mapped_column(EnumText(Place))

    __table_args__ = (
        one_of("place", Place),
        # What `merges` points at: a ticket *in this place*.
        UniqueConstraint("ticket_id", "place"),
    )


class Incident(Base):
    """One cause with many callers: the main ticket is worked on, every caller gets its answer (群体性事件)."""

    __tablename__ = "incidents"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    words: Mapped[str] = mapped_column(comment="what operators tell callers")
    main_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), unique=True)
    opened_at: Mapped[datetime]
    opened_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        CheckConstraint("char_length(title) BETWEEN 1 AND 100", name="title_length"),
        CheckConstraint("char_length(words) BETWEEN 1 AND 500", name="words_length"),
        CheckConstraint("closed_at IS NULL OR closed_at >= opened_at", name="closed_after_opened"),
        # Which incidents are open? Asked with every text that an operator types.
        Index("ix_incidents_open", "id", postgresql_where=text("closed_at IS NULL")),
    )


class Merge(Base):
    """A ticket that is answered with another one; its citizen keeps number, answer and callback."""

    __tablename__ = "merges"

    ticket_id: Mapped[int] = mapped_column(primary_key=True)
    member_place: Mapped[Place] = mapped_column(EnumText(Place), default=Place.MEMBER, server_default="member")
    main_id: Mapped[int]
    main_place: Mapped[Place] = mapped_column(EnumText(Place), default=Place.MAIN, server_default="main")
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    reason: Mapped[str] = mapped_column(default="", server_default="")
    merged_at: Mapped[datetime]
    merged_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    answered_at: Mapped[datetime | None] = mapped_column(comment="got the main ticket's answer; its own life goes on")

    __table_args__ = (
        CheckConstraint("member_place = 'member'", name="member_is_member"),
        CheckConstraint("main_place = 'main'", name="main_is_main"),
        ForeignKeyConstraint(["ticket_id", "member_place"], ["merge_places.ticket_id", "merge_places.place"]),
        ForeignKeyConstraint(["main_id", "main_place"], ["merge_places.ticket_id", "merge_places.place"]),
        # Who is answered with this one?
        Index("ix_merges_main_id", "main_id", "ticket_id"),
    )


class Announcement(Base):
    """What all callers of an incident were told at once."""

    __tablename__ = "announcements"

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"))
    words: Mapped[str]
    callers: Mapped[int] = mapped_column(comment="how many text messages were written")
    sent_at: Mapped[datetime]
    sent_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        # What was said of this incident, in order?
        Index("ix_announcements_incident_id", "incident_id", "id"),
    )
