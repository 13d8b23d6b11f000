"""Tables of what clocks are made of and what changes them: days, editions of limits, adjustments, recounts."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class AdjustmentKind(StrEnum):
    """What sort of change it is; each is an interval or a moment in the life of one dispatch."""

    SUSPENSION = "suspension"
    EXTENSION = "extension"
    RECLASSIFICATION = "reclassification"
    RETURN_REFUSED = "return_refused"


class RecountKind(StrEnum):
    """Why open tickets are counted anew: a day was declared or taken back, or the city moves them to an edition."""

    CALENDAR = "calendar"
    EDITION = "edition"


class AdjustmentState(StrEnum):
    """Where a wish stands; only approved ones change a clock."""

    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    LAPSED = "lapsed"


class Adjustment(Base):
    """One change of the deadlines of one dispatch, asked for by the department or made by the hotline."""

    __tablename__ = "adjustments"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    kind: Mapped[AdjustmentKind] = mapped_column(EnumText(AdjustmentKind))
    state: Mapped[AdjustmentState] = mapped_column(EnumText(AdjustmentState))
    cause: Mapped[str] = mapped_column(default="", server_default="", comment="type of a suspension, of the profile")
    reason: Mapped[str] = mapped_column(default="", server_default="", comment="redacted words")
    basis: Mapped[str] = mapped_column(default="", server_default="", comment="rule that an extension rests on")
    evidence_id: Mapped[int | None] = mapped_column(ForeignKey("attachments.id"))
    workdays: Mapped[int | None] = mapped_column(comment="how many an extension adds")
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None] = mapped_column(comment="when the clock runs again, or ran again")
    latest_at: Mapped[datetime | None] = mapped_column(comment="the furthest end that the profile allows this cause")
    max_workdays: Mapped[int | None] = mapped_column(comment="the longest that the profile allows this cause")
    higher_level: Mapped[bool] = mapped_column(default=False, server_default="false", comment="a further extension")
    terms: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", comment="type, urgency, class since"
    )
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    asked_at: Mapped[datetime]
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    decided_words: Mapped[str] = mapped_column(default="", server_default="")
    resumed_at: Mapped[datetime | None] = mapped_column(comment="the clock runs again since, noticed by the schedule")

    __table_args__ = (
        one_of("kind", AdjustmentKind),
        one_of("state", AdjustmentState),
        CheckConstraint("(state IN ('approved', 'refused')) = (decided_at IS NOT NULL)", name="decided_has_time"),
        CheckConstraint("state <> 'refused' OR decided_words <> ''", name="refused_has_words"),
        CheckConstraint(
            "kind <> 'suspension' OR (cause <> '' AND evidence_id IS NOT NULL AND starts_at IS NOT NULL"
            " AND ends_at IS NOT NULL AND latest_at IS NOT NULL AND max_workdays IS NOT NULL)",
            name="suspension_is_whole",
        ),
        CheckConstraint("ends_at > starts_at", name="interval_has_length"),
        CheckConstraint("ends_at <= latest_at", name="no_longer_than_allowed"),
        # Time that has run cannot be taken out of a count afterwards.
        CheckConstraint("kind <> 'suspension' OR starts_at >= asked_at", name="begins_when_asked"),
        # The calendar is not the database's; but no run of working days is stretched further than this by days of rest.
        CheckConstraint(
            "latest_at - starts_at <= max_workdays * interval '72 hours' + interval '360 hours'",
            name="allowed_is_plausible",
        ),
        CheckConstraint(
            "kind <> 'extension' OR (coalesce(workdays, 0) BETWEEN 1 AND 1000 AND basis <> '' AND reason <> '')",
            name="extension_is_whole",
        ),
        # Nobody grants time to himself.
        CheckConstraint(
            "kind NOT IN ('suspension', 'extension') OR decided_by IS DISTINCT FROM asked_by OR asked_by IS NULL",
            name="two_persons",
        ),
        CheckConstraint(
            "resumed_at IS NULL OR (kind = 'suspension' AND state = 'approved')", name="only_pauses_resume"
        ),
        # The clock of one dispatch stands once at a time.
        ExcludeConstraint(
            (text("int8range(dispatch_id, dispatch_id, '[]')"), "&&"),
            (text("tstzrange(starts_at, ends_at)"), "&&"),
            using="gist",
            where=text("kind = 'suspension' AND state = 'approved'"),
            name="ex_adjustments_one_pause_at_a_time",
        ),
        # One wish of a kind is open at a time.
        Index("uq_adjustments_asked", "dispatch_id", "kind", unique=True, postgresql_where=text("state = 'asked'")),
        # Extended once, unless a higher level approves (domain.md 2.8).
        Index(
            "uq_adjustments_extended",
            "dispatch_id",
            unique=True,
            postgresql_where=text("kind = 'extension' AND state = 'approved' AND NOT higher_level"),
        ),
        # What waits for the hotline's decision, the oldest first?
        Index("ix_adjustments_waiting", "asked_at", "id", postgresql_where=text("state = 'asked'")),
        # What was decided last?
        Index(
            "ix_adjustments_decided",
            text("decided_at DESC"),
            text("id DESC"),
            postgresql_where=text("decided_at IS NOT NULL"),
        ),
        # Which pauses end now? Asked by the schedule every minute.
        Index(
            "ix_adjustments_standing",
            "ends_at",
            postgresql_where=text("kind = 'suspension' AND state = 'approved' AND resumed_at IS NULL"),
        ),
        # Every change in the life of a ticket, in order.
        Index("ix_adjustments_ticket_id", "ticket_id", "id"),
    )


class ProfileVersion(Base):
    """A deadline profile as it was when tickets were dispatched under it; they keep it for their lives."""

    __tablename__ = "profile_versions"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(comment="routing.clocks.profiles.Profile.to_mapping")
    first_used_at: Mapped[datetime]


class CalendarDay(Base):
    """A day that an administrator declared for the whole city or for one unit, over the statutory calendar.

    A declaration is never changed or deleted: it ends, and another follows, so that the table is its own journal.
    """

    __tablename__ = "calendar_days"

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    department_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"), comment="null: the whole city")
    is_workday: Mapped[bool]
    hours: Mapped[str] = mapped_column(default="", server_default="", comment="09:00-12:00 on a half day; else empty")
    reason: Mapped[str] = mapped_column(default="", server_default="", comment="the order that it rests on")
    declared_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    declared_at: Mapped[datetime]
    ended_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ended_at: Mapped[datetime | None]

    # Days of the past are what people were measured by. Only what gives time may be said on the day itself.
    __table_args__ = (
        CheckConstraint("hours = '' OR is_workday", name="rest_has_no_hours"),
        CheckConstraint(
            "hours ~ '^([0-2]\\d:[0-5]\\d-[0-2]\\d:[0-5]\\d(,[0-2]\\d:[0-5]\\d-[0-2]\\d:[0-5]\\d)*)?$'",
            name="hours_form",
        ),
        # Each stretch ends after it begins, and none begins before the one before it ends; a function of 0034.
        CheckConstraint("hours_in_order(hours)", name="hours_in_order"),
        CheckConstraint(
            "day > (declared_at AT TIME ZONE 'Asia/Shanghai')::date"
            " OR (day = (declared_at AT TIME ZONE 'Asia/Shanghai')::date AND NOT is_workday)",
            name="declared_ahead",
        ),
        CheckConstraint(
            "day > (ended_at AT TIME ZONE 'Asia/Shanghai')::date"
            " OR (day = (ended_at AT TIME ZONE 'Asia/Shanghai')::date AND is_workday)",
            name="taken_back_ahead",
        ),
        CheckConstraint("day <= (declared_at AT TIME ZONE 'Asia/Shanghai')::date + 800", name="not_far_ahead"),
        # A day has one declaration in force for the city, and one for each unit.
        Index(
            "uq_calendar_days_in_force",
            "day",
            text("coalesce(department_id, 0)"),
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        # What was declared for the city, or for this unit, the latest first?
        Index("ix_calendar_days_department_id", "department_id", text("declared_at DESC"), text("id DESC")),
        # What was declared, by whomever, the latest first?
        Index("ix_calendar_days_declared_at", text("declared_at DESC"), text("id DESC")),
    )


class ConfirmedYear(Base):
    """A year whose notice of holidays and make-up workdays is in the calendar; the years follow one another.

    Those of the library are written down with the first one that a person confirms. Never changed or deleted.
    """

    __tablename__ = "confirmed_years"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    basis: Mapped[str] = mapped_column(comment="the notice that it rests on")
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"), comment="null: by the library")
    confirmed_at: Mapped[datetime]

    # That no year is left out is held by years_have_no_gap.
    __table_args__ = (
        CheckConstraint("year BETWEEN 2010 AND 2100", name="year_is_one"),
        CheckConstraint("char_length(basis) BETWEEN 1 AND 200", name="has_basis"),
    )


class ProfileEdition(Base):
    """A profile that the city applies from a day on: drafted, looked at beside what is in force, confirmed."""

    __tablename__ = "profile_editions"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    source_text: Mapped[str] = mapped_column(comment="as it was written, TOML")
    body: Mapped[dict[str, Any]] = mapped_column(comment="routing.clocks.profiles.Profile.to_mapping")
    effective_on: Mapped[date]
    basis: Mapped[str] = mapped_column(comment="the order that it rests on")
    entered_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    entered_at: Mapped[datetime]
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    confirmed_at: Mapped[datetime | None]
    withdrawn_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    withdrawn_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("basis <> ''", name="has_basis"),
        # Nobody was measured by limits that nobody knew.
        CheckConstraint(
            "confirmed_at IS NULL OR effective_on >= (confirmed_at AT TIME ZONE 'Asia/Shanghai')::date",
            name="confirmed_ahead",
        ),
        # What has been in force stays.
        CheckConstraint(
            "confirmed_at IS NULL OR withdrawn_at IS NULL"
            " OR (withdrawn_at AT TIME ZONE 'Asia/Shanghai')::date < effective_on",
            name="withdrawn_ahead",
        ),
        # One edition begins on a day; and which is in force?
        Index(
            "uq_profile_editions_effective_on",
            "effective_on",
            unique=True,
            postgresql_where=text("confirmed_at IS NOT NULL AND withdrawn_at IS NULL"),
        ),
    )


class Recount(Base):
    """An order to count open tickets anew, because of a day or by an edition; carried out little by little."""

    __tablename__ = "recounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[RecountKind] = mapped_column(EnumText(RecountKind))
    department_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"), comment="null: every unit")
    day: Mapped[date | None]
    was_workday: Mapped[bool | None] = mapped_column(comment="for the city or the unit, before this")
    edition_id: Mapped[int | None] = mapped_column(ForeignKey("profile_editions.id"))
    classes: Mapped[list[Any]] = mapped_column(
        default=list, server_default="[]", comment="[source, type, urgency, class] of what is moved to the edition"
    )
    words: Mapped[str] = mapped_column(comment="what was ordered and why, as the journals of the tickets tell it")
    ordered_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ordered_at: Mapped[datetime]
    expected: Mapped[int] = mapped_column(comment="how many tickets the page said would move at most")
    total: Mapped[int] = mapped_column(default=0, server_default="0", comment="how many open tickets are looked at")
    looked: Mapped[int] = mapped_column(default=0, server_default="0")
    moved: Mapped[int] = mapped_column(default=0, server_default="0")
    after_ticket_id: Mapped[int] = mapped_column(default=0, server_default="0", comment="done up to this ticket")
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        one_of("kind", RecountKind),
        CheckConstraint("(kind = 'calendar') = (day IS NOT NULL)", name="calendar_has_day"),
        CheckConstraint("(kind = 'calendar') = (was_workday IS NOT NULL)", name="calendar_has_before"),
        CheckConstraint("(kind = 'edition') = (edition_id IS NOT NULL)", name="edition_is_named"),
        CheckConstraint("words <> ''", name="has_words"),
        CheckConstraint("moved <= looked", name="moved_was_looked_at"),
        # What was ordered last?
        Index("ix_recounts_ordered_at", text("ordered_at DESC"), text("id DESC")),
    )
